// Ranges of a tensor's row-major bytes, for every kind of tensor that is not plain memory.

#include "torch/tensor.hpp"

#include <vector>

#include "model/dtypes.hpp"
#include "parallel/torch_bits.hpp"
#include "torch/scalar_types.hpp"

namespace muster::test::torch_tensor_test {
namespace {

using torch_adapter::read_bytes;
using torch_adapter::write_bytes;

std::vector<std::byte> bytes_of(const torch::Tensor& tensor) {
  const auto dense = tensor.resolve_conj().resolve_neg().contiguous();
  const auto* first = static_cast<const std::byte*>(dense.data_ptr());
  return {first, first + dense.nbytes()};
}

struct Case {
  const char* name;
  torch::Tensor tensor;
};

std::vector<Case> cases() {
  const auto numbers = torch::arange(2 * 3 * 4 * 5, torch::kFloat32).reshape({2, 3, 4, 5});
  const auto complex = torch::complex(torch::randn({3, 4}), torch::randn({3, 4}));
  return {
      {"dense", numbers.clone()},
      {"transposed", numbers.clone().permute({3, 1, 0, 2})},
      {"channels last", numbers.clone().contiguous(torch::MemoryFormat::ChannelsLast)},
      {"strided", torch::arange(60, torch::kInt16).reshape({6, 10}).slice(0, 0, 6, 2).slice(1, 1, 10, 3)},
      {"column", torch::arange(12, torch::kFloat64).reshape({3, 4}).select(1, 2)},
      {"conjugated", complex.clone().conj()},
      {"imaginary part of conjugated", torch::imag(complex.clone().conj())},
      {"0-d view", torch::arange(4, torch::kInt64).select(0, 3)},
      {"boolean", torch::arange(12).remainder(3).eq(1).reshape({3, 4}).t()},
  };
}

TEST(TorchTensor, EveryRangeIsRead) {
  for (const auto& [name, tensor] : cases()) {
    SCOPED_TRACE(name);
    const auto all = bytes_of(tensor);
    const auto item = static_cast<std::size_t>(tensor.element_size());
    for (std::size_t first = 0; first <= all.size(); first += item) {
      for (std::size_t end = first; end <= all.size(); end += item) {
        std::vector<std::byte> part(end - first, std::byte{0xAA});
        read_bytes(tensor, first, part);
        ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + static_cast<std::ptrdiff_t>(first)))
            << first << ".." << end;
      }
    }
  }
}

// The way of device tensors, which takes unpinned buffers here: of one element, of a few, of more than there are.
TEST(TorchTensor, RangesComeThroughTheBuffersOfADevice) {
  torch_adapter::DeviceMoment moment(torch::kCPU);
  moment.note();
  for (const auto& [name, tensor] : cases()) {
    SCOPED_TRACE(name);
    const auto all = bytes_of(tensor);
    const auto item = static_cast<std::size_t>(tensor.element_size());
    for (const std::int64_t buffer_bytes :
         {std::int64_t{1}, std::int64_t{3} * tensor.element_size(), std::int64_t{4096}}) {
      for (std::size_t first = 0; first <= all.size(); first += 5 * item) {
        for (std::size_t end = first; end <= all.size(); end += 3 * item) {
          const auto to =
              torch::zeros({static_cast<std::int64_t>((end - first) / item)}, torch::dtype(tensor.scalar_type()));
          torch_adapter::read_from_device(tensor, static_cast<std::int64_t>(first / item), to, moment,
                                          {.buffer_bytes = buffer_bytes});
          const auto read = bytes_of(to);
          ASSERT_TRUE(std::equal(read.begin(), read.end(), all.begin() + static_cast<std::ptrdiff_t>(first)))
              << first << ".." << end << " in buffers of " << buffer_bytes;
        }
      }
    }
  }
}

TEST(TorchTensor, EveryRangeIsWrittenAndNothingElse) {
  for (const auto& [name, tensor] : cases()) {
    SCOPED_TRACE(name);
    const auto all = bytes_of(tensor);
    const auto item = static_cast<std::size_t>(tensor.element_size());
    for (std::size_t first = 0; first <= all.size(); first += item) {
      for (std::size_t end = first; end <= all.size(); end += item) {
        tensor.zero_();
        const std::span<const std::byte> part(all.data() + first, end - first);
        write_bytes(tensor, first, part);
        auto expected = std::vector<std::byte>(all.size(), std::byte{0});
        std::copy(part.begin(), part.end(), expected.begin() + static_cast<std::ptrdiff_t>(first));
        // A lazily negated zero is -0.0 outside the range: compare it as a number.
        const auto now = bytes_of(tensor);
        const auto begin = now.begin() + static_cast<std::ptrdiff_t>(first);
        ASSERT_TRUE(std::equal(part.begin(), part.end(), begin)) << first << ".." << end;
        if (!tensor.is_neg() && !tensor.is_conj()) {
          ASSERT_EQ(now, expected) << first << ".." << end;
        } else {
          const auto written = static_cast<std::int64_t>((end - first) / item);
          ASSERT_LE(torch::count_nonzero(tensor).item<std::int64_t>(), written) << first << ".." << end;
        }
      }
    }
  }
}

TEST(TorchTensor, LeafThatRequiresGradCanBeWritten) {
  auto leaf = torch::zeros({2, 3}).t().requires_grad_();
  const auto values = torch::arange(6, torch::kFloat32);
  write_bytes(leaf, 0, std::as_bytes(std::span(values.data_ptr<float>(), 6)));
  EXPECT_TRUE(same_bits(leaf, values.reshape({3, 2})));
  EXPECT_TRUE(leaf.is_leaf());
}

TEST(TorchTensor, RangeThatCutsAnElementIsRefused) {
  const auto tensor = torch::zeros({4, 2}).t();
  std::vector<std::byte> part(6);
  EXPECT_THROW(read_bytes(tensor, 0, part), Error);
  EXPECT_THROW(read_bytes(tensor, 2, std::span(part).first(4)), Error);
}

TEST(TorchTensor, PlainMemoryIsTakenByPointer) {
  const auto tensor = torch::zeros({2, 3}, torch::kBFloat16);
  State state;
  add_torch_tensor(state, "/model/a", tensor);
  add_torch_tensor(state, "/model/b", tensor.t());
  ASSERT_EQ(state.tensors().size(), 2u);
  EXPECT_EQ(state.tensors()[0].memory.data, tensor.data_ptr());
  EXPECT_EQ(state.tensors()[0].description.dtype, DType::bfloat16);
  EXPECT_EQ(state.tensors()[0].description.shape, (Shape{2, 3}));
  EXPECT_EQ(state.tensors()[1].memory.data, nullptr);
  EXPECT_TRUE(state.tensors()[1].memory.read && state.tensors()[1].memory.write);
  EXPECT_EQ(state.tensors()[1].description.shape, (Shape{3, 2}));
}

TEST(TorchTensor, WhatHasNoBytesIsRefusedByName) {
  auto emptied = torch::ones({4});
  emptied.storage().set_nbytes(0);
  const std::vector<Case> refused = {
      {"undefined", torch::Tensor()},
      {"sparse", torch::eye(3).to_sparse()},
      {"quantized", torch::quantize_per_tensor(torch::ones({3}), 0.1, 0, torch::kQInt8)},
      {"meta device", torch::empty({3}, torch::kMeta)},
      {"storage is empty", emptied},
      {"ComplexHalf", torch::empty({3}, torch::kComplexHalf)},
  };
  for (const auto& [why, tensor] : refused) {
    State state;
    try {
      add_torch_tensor(state, "/model/the key", tensor);
      ADD_FAILURE() << why << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_TRUE(has(error.what(), "/model/the key") && has(error.what(), why)) << error.what();
    }
    EXPECT_TRUE(state.tensors().empty());
  }
}

TEST(TorchTensor, DTypesMapBothWays) {
  for (const auto dtype : kAllDTypes) {
    const auto type = torch_adapter::scalar_type_of(dtype);
    if (!type) continue;
    EXPECT_EQ(to_scalar_type(dtype), *type);
    EXPECT_EQ(to_dtype(*type), dtype);
    EXPECT_EQ(torch::elementSize(*type), item_bytes(dtype));
  }
}

TEST(TorchTensor, DTypesThatThisLibTorchLacksAreRefusedByName) {
  for (const auto dtype : kAllDTypes) {
    if (torch_adapter::scalar_type_of(dtype)) continue;
    try {
      to_scalar_type(dtype);
      ADD_FAILURE() << name(dtype);
    } catch (const Error& error) {
      EXPECT_TRUE(has(error.what(), "LibTorch " TORCH_VERSION) && has(error.what(), std::string(name(dtype))))
          << error.what();
    }
  }
}

}  // namespace
}  // namespace muster::test::torch_tensor_test
