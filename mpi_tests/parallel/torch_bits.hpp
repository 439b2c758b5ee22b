#pragma once
// What the tests with Torch share: comparing tensors bit by bit, and running what must fail.

#include <gtest/gtest.h>
#include <mpi.h>
#include <torch/torch.h>

#include <cstring>
#include <filesystem>
#include <muster/libtorch_version.hpp>
#include <muster/torch.hpp>
#include <optional>
#include <string>

namespace muster::test {

// Same dtype, shape and bits, whatever the strides: equal NaNs are the same, 0.0 and -0.0 are not.
inline testing::AssertionResult same_bits(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.defined() != b.defined()) return testing::AssertionFailure() << "one of them is undefined";
  if (!a.defined()) return testing::AssertionSuccess();
  if (a.scalar_type() != b.scalar_type()) {
    return testing::AssertionFailure() << a.scalar_type() << " is not " << b.scalar_type();
  }
  if (a.sizes() != b.sizes()) return testing::AssertionFailure() << a.sizes() << " is not " << b.sizes();
  const torch::NoGradGuard no_grad;
  const auto x = a.resolve_conj().resolve_neg().contiguous();
  const auto y = b.resolve_conj().resolve_neg().contiguous();
  if (x.numel() > 0 && std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) != 0) {
    return testing::AssertionFailure() << "the bits differ";
  }
  return testing::AssertionSuccess();
}

// A copy of its own memory, for later comparison.
inline torch::Tensor copy_of(const torch::Tensor& tensor) { return tensor.detach().clone(); }

// The error that `call` throws; none fails the test.
template <class F>
std::optional<CollectiveError> collective_error_of(F&& call) {
  try {
    call();
  } catch (const CollectiveError& error) {
    return error;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not a CollectiveError: " << error.what();
    return std::nullopt;
  }
  ADD_FAILURE() << "nothing was thrown";
  return std::nullopt;
}

// Saves a State that Torch knows nothing of: what another program, or none, might have written.
inline void save_state(const std::filesystem::path& directory, const std::string& tag, const State& state) {
  SaveOptions options;
  options.tag = tag;
  save_checkpoint(MPI_COMM_WORLD, directory, state, options);
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace muster::test
