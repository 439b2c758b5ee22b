#pragma once
// Finding a parameter's state in a Torch optimizer, and its slots in a checkpoint.

#include <fmt/format.h>
#include <torch/torch.h>

#include <muster/error.hpp>
#include <muster/libtorch_version.hpp>
#include <muster/state.hpp>
#include <string>
#include <string_view>
#include <typeinfo>

#include "torch/optimizer_kinds.hpp"
#include "torch/optimizer_view.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// Null where the parameter has no state yet.
inline torch::optim::OptimizerParamState* find_param_state(const OptimizerClass& kind,
                                                           const torch::optim::Optimizer& optimizer,
                                                           const torch::Tensor& parameter) {
  const auto found = optimizer.state().find(optimizer_state_key(parameter));
  if (found == optimizer.state().end() || found->second == nullptr) return nullptr;
  auto& state = *found->second;
  if (kind.fits(state)) return &state;
  throw Error(ErrorKind::usage, fmt::format("a parameter of the optimizer {} has a state of the class {}", kind.name(),
                                            c10::demangle(typeid(state).name())));
}

// LBFGS has one state for all parameters, as if they were one after the other: no part of them means anything to it.
inline void require_whole(const OptimizerClass& kind, const OptimizerView& view, const GroupKeys& keys) {
  if (!has_one_state(kind)) return;
  for (std::size_t group = 0; group < keys.size(); ++group) {
    for (std::size_t i = 0; i < keys[group].size(); ++i) {
      const auto& parameter = view.optimizer().param_groups()[group].params()[i];
      if (view.optimizer_placement(parameter).shard == Shard::whole()) continue;
      throw Error(ErrorKind::usage,
                  fmt::format("LBFGS cannot be saved or loaded in parts, and {} is one", keys[group][i]));
    }
  }
}

inline std::string slot_path(const ObjectPath& optimizer, std::string_view key, std::string_view slot) {
  return optimizer.at(key, slot);
}

// The slot of a parameter's values in higher precision.
inline constexpr const char* kMasterSlot = "master";

// The name of entry `index` of a slot that is a list.
inline std::string list_slot(std::string_view slot, std::size_t index) { return fmt::format("{}.{}", slot, index); }

}  // namespace muster::torch_adapter
