#include "torch/parameter_keys.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>
#include <unordered_map>

#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

namespace {

// Null for a parameter that the model does not have.
const std::string* name_of(const torch::Tensor& parameter, const Placements& placements) {
  const auto* part = placements.part(parameter);
  return placements.first_key(part != nullptr ? part->parameter : parameter);
}

}  // namespace

std::vector<std::vector<std::string>> parameter_keys(const torch::optim::Optimizer& optimizer,
                                                     const torch::nn::Module* model, const Placements& placements) {
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
      const auto* name = name_of(parameter, placements);
      if (name == nullptr && placements.needs_names()) {
        // Called by its position, one rank's would be taken for a replica of another's.
        throw Error(ErrorKind::usage,
                    fmt::format("parameter {} of the optimizer is neither one of the model's nor an optimizer part: "
                                "nothing says where it lies in the job's",
                                position));
      }
      auto key = name != nullptr ? *name : fmt::format("{}{}", model != nullptr ? "param_" : "", position);
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
