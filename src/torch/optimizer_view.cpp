#include "torch/optimizer_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <muster/sharding.hpp>
#include <utility>

#include "torch/param_groups.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

OptimizerView::OptimizerView(ObjectPath at, const OptimizerRef& optimizer, std::vector<const ModelView*> models,
                             const OptimizerOptions& options, const RankInGrid& rank)
    : at_(std::move(at)), ref_(optimizer), models_(std::move(models)), options_(options) {
  if (optimizer.given() && optimizer.get() == nullptr)
    throw Error(ErrorKind::usage, "the " + at_.shown() + " is a null pointer");
  const auto& grid = rank.grid.grid();
  is_parallel_ = grid.pipeline > 1 || grid.expert > 1 || !options.parts.empty();
  needs_names_ = is_parallel_ || grid.tensor > 1 || std::ranges::any_of(models_, [](const auto* model) {
                   return !model->options().rules.empty() || model->options().global_key;
                 });
  if (models_.empty() && !options.parts.empty()) {
    throw Error(ErrorKind::usage, "optimizer parts are given without the model");
  }
  check_parts();
  for (const auto& part : options.parts) {
    // One empty tensor may serve all parts that are empty.
    const bool is_new_tensor =
        parts_.emplace(part.optimized.unsafeGetTensorImpl(), &part).second || part.range.count == 0;
    const bool is_new_part = parts_of_parameters_.emplace(part.parameter.unsafeGetTensorImpl(), &part).second;
    if (!is_new_tensor || !is_new_part) throw Error(ErrorKind::usage, "two optimizer parts of one parameter on a rank");
  }
}

void OptimizerView::check_parts() const {
  std::size_t number = 0;
  for (const auto& [optimized, parameter, range] : options_.parts) {
    const auto refuse = [&](const std::string& why) {
      throw Error(ErrorKind::usage, fmt::format("optimizer part {}: {}", number, why));
    };
    ++number;
    if (!optimized.defined() || !parameter.defined()) refuse("a tensor is undefined");
    const auto key = key_of(parameter);
    if (!key) refuse("its parameter is not one of the model's");
    if (!parameter.is_contiguous()) refuse(*key + " is not dense and row-major");
    const auto elements = static_cast<std::uint64_t>(parameter.numel());
    if (range.first > elements || range.count > elements - range.first) {
      refuse(
          fmt::format("elements [{}, {}) of {}, which has {}", range.first, range.first + range.count, *key, elements));
    }
    if (optimized.dim() != 1 || static_cast<std::uint64_t>(optimized.numel()) != range.count) {
      refuse(
          fmt::format("of {} elements of {}, but optimized is {}", range.count, *key, to_string(shape_of(optimized))));
    }
  }
}

std::optional<OptimizerView::Found> OptimizerView::find(const torch::Tensor& parameter) const {
  for (const auto* model : models_) {
    const auto* key = model->first_key(parameter);
    // The name of the groups document is taken.
    if (key != nullptr && (models_.size() > 1 || *key != kParamGroupsKey)) return Found{model, key};
  }
  return std::nullopt;
}

std::string OptimizerView::key_of(const ModelView& model, const std::string& key) const {
  return models_.size() > 1 ? model.at().name() + "." + key : key;
}

std::optional<std::string> OptimizerView::key_of(const torch::Tensor& parameter) const {
  const auto found = find(parameter);
  if (!found) return std::nullopt;
  return key_of(*found->model, *found->key);
}

std::vector<std::string> OptimizerView::model_names() const {
  std::vector<std::string> names;
  for (const auto* model : models_) {
    if (!model->at().name().empty()) names.push_back(model->at().name());
  }
  return names;
}

std::string OptimizerView::path_of(const torch::Tensor& parameter) const {
  const auto found = find(parameter);
  if (!found) throw Error(ErrorKind::internal, "a tensor is no parameter of a model");
  return found->model->at().at(*found->key);
}

const OptimizerPart* OptimizerView::part(const torch::Tensor& optimized) const {
  const auto found = parts_.find(optimized.unsafeGetTensorImpl());
  return found == parts_.end() ? nullptr : found->second;
}

const OptimizerPart* OptimizerView::part_of_parameter(const torch::Tensor& parameter) const {
  const auto found = parts_of_parameters_.find(parameter.unsafeGetTensorImpl());
  return found == parts_of_parameters_.end() ? nullptr : found->second;
}

Placement OptimizerView::placement(const torch::Tensor& parameter) const {
  const auto found = find(parameter);
  return found ? found->model->placement(*found->key, parameter) : Placement{shape_of(parameter), Shard::whole()};
}

Placement OptimizerView::optimizer_placement(const torch::Tensor& optimized) const {
  const auto* of = part(optimized);
  if (of == nullptr) return placement(optimized);
  auto [shape, shard] = placement(of->parameter);
  auto part = part_of(shape, shard, of->range);
  return {std::move(shape), std::move(part)};
}

}  // namespace muster::torch_adapter
