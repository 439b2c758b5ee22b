#include "torch/parameter_keys.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>
#include <unordered_map>

#include "torch/param_groups.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

// Nothing for a parameter that the models do not have.
std::optional<std::string> name_of(const torch::Tensor& parameter, const OptimizerView& view) {
  const auto* part = view.part(parameter);
  return view.key_of(part != nullptr ? part->parameter : parameter);
}

std::string names_of(const std::vector<const ModelView*>& models) {
  std::string names;
  for (const auto* model : models) names += (names.empty() ? "" : ", ") + model->at().name();
  return names;
}

}  // namespace

std::vector<std::vector<std::string>> parameter_keys(const OptimizerView& view) {
  const bool must_be_named = !view.at().name().empty() && !view.models().empty();
  std::unordered_map<const c10::TensorImpl*, std::size_t> position_of_tensor;
  std::unordered_map<std::string, std::size_t> position_of_key;
  std::vector<std::vector<std::string>> keys;
  std::size_t position = 0;
  for (const auto& group : view.optimizer().param_groups()) {
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
      const auto name = name_of(parameter, view);
      if (!name && must_be_named) {
        throw Error(ErrorKind::usage,
                    fmt::format("parameter {} of the optimizer, {}, belongs to none of its models: {}", position,
                                to_string(shape_of(parameter)), names_of(view.models())));
      }
      if (!name && view.needs_names()) {
        // Called by its position, one rank's would be taken for a replica of another's.
        throw Error(ErrorKind::usage,
                    fmt::format("parameter {} of the optimizer is neither one of the model's nor an optimizer part: "
                                "nothing says where it lies in the job's",
                                position));
      }
      auto key = name ? *name : fmt::format("{}{}", view.models().empty() ? "" : "param_", position);
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
