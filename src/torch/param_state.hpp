#pragma once
// Finding a parameter's state in a Torch optimizer, and its slots in a checkpoint.

#include <fmt/format.h>
#include <torch/torch.h>

#include <muster/state.hpp>
#include <string>
#include <string_view>

#include "torch/optimizer_kinds.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// The key of Optimizer::state().
inline std::string torch_key(const torch::Tensor& parameter) {
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
}

// Null where the parameter has no state yet.
template <class Kind>
const typename Kind::ParamState* find_param_state(const torch::optim::Optimizer& optimizer,
                                                  const torch::Tensor& parameter) {
  const auto found = optimizer.state().find(torch_key(parameter));
  if (found == optimizer.state().end() || found->second == nullptr) return nullptr;
  const auto* state = dynamic_cast<const typename Kind::ParamState*>(found->second.get());
  if (state == nullptr) {
    const auto& other = *found->second;
    throw Error(ErrorKind::usage, fmt::format("a parameter of the optimizer {} has a state of the class {}",
                                              Kind::kName, c10::demangle(typeid(other).name())));
  }
  return state;
}

inline std::string slot_path(std::string_view key, std::string_view slot) {
  return object_path({kOptimizerSection, key, slot});
}

// The name of entry `index` of a slot that is a list.
inline std::string list_slot(std::string_view slot, std::size_t index) { return fmt::format("{}.{}", slot, index); }

}  // namespace muster::torch_adapter
