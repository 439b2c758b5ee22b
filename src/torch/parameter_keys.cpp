#include "torch/parameter_keys.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>
#include <unordered_map>

#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

namespace {

using Names = std::unordered_map<const c10::TensorImpl*, std::string>;

Names names_in(const torch::nn::Module& model, const Places& places) {
  Names names;
  for (const auto& item : model.named_parameters()) {
    // The first of several names of a tied parameter; the name of the groups document is taken.
    const auto key = places.global_key(item.key());
    if (key == kParamGroupsKey) continue;
    names.emplace(item.value().unsafeGetTensorImpl(), key);
    if (const auto* part = places.part_of_parameter(item.value())) {
      names.emplace(part->optimized.unsafeGetTensorImpl(), key);
    }
  }
  return names;
}

}  // namespace

std::vector<std::vector<std::string>> parameter_keys(const torch::optim::Optimizer& optimizer,
                                                     const torch::nn::Module* model, const Places& places) {
  const Names names = model != nullptr ? names_in(*model, places) : Names();
  std::unordered_map<const c10::TensorImpl*, std::size_t> position_of_tensor;
  std::unordered_map<std::string, std::size_t> position_of_key;
  std::vector<std::vector<std::string>> keys;
  std::size_t position = 0;
  for (const auto& group : optimizer.param_groups()) {
    auto& group_keys = keys.emplace_back();
    for (const auto& parameter : group.params()) {
      if (!parameter.defined()) {
        throw Error(ErrorKind::usage, fmt::format("parameter {} of the optimizer is undefined", position));
      }
      const auto* tensor = parameter.unsafeGetTensorImpl();
      if (const auto [at, is_new] = position_of_tensor.emplace(tensor, position); !is_new) {
        throw Error(ErrorKind::usage,
                    fmt::format("parameters {} and {} of the optimizer are the same tensor", at->second, position));
      }
      const auto name = names.find(tensor);
      auto key = name != names.end() ? name->second : fmt::format("{}{}", model != nullptr ? "param_" : "", position);
      if (const auto [at, is_new] = position_of_key.emplace(key, position); !is_new) {
        throw Error(ErrorKind::usage,
                    fmt::format("parameters {} and {} of the optimizer would both be called '{}': one of them is not a "
                                "parameter of the model",
                                at->second, position, key));
      }
      group_keys.push_back(std::move(key));
      ++position;
    }
  }
  return keys;
}

}  // namespace muster::torch_adapter
