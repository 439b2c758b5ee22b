#pragma once
// Torch's exceptions carry a backtrace of some forty lines in what(); an error of muster names the cause in one.

#include <torch/torch.h>

#include <exception>
#include <muster/error.hpp>
#include <string>
#include <utility>

namespace muster::torch_adapter {

inline std::string message_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
}

// Runs `work`; what Torch throws leaves as Error{internal} with its message alone.
template <class Work>
decltype(auto) with_short_errors(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::internal, message_of(error));
  }
}

}  // namespace muster::torch_adapter
