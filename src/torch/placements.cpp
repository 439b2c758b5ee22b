#include "torch/placements.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>
#include <muster/sharding.hpp>
#include <utility>

#include "torch/param_groups.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

Placements::Placements(const Parallelism& parallel, int rank, int world_size, const torch::nn::Module* model)
    : parallel_(parallel),
      grid_(parallel.grid, world_size),
      rank_(rank),
      is_parallel_(parallel.grid.pipeline > 1 || parallel.grid.expert > 1 || !parallel.optimizer_parts.empty()),
      needs_names_(is_parallel_ || parallel.grid.tensor > 1 || !parallel.rules.empty() || parallel.global_key) {
  if (model != nullptr) {
    for (const auto& item : model->named_parameters()) {
      auto key = global_key(item.key());
      // The name of the groups document is taken.
      if (key != kParamGroupsKey) first_keys_.emplace(item.value().unsafeGetTensorImpl(), std::move(key));
    }
  }
  if (model == nullptr && !parallel.optimizer_parts.empty()) {
    throw Error(ErrorKind::usage, "optimizer parts are given without the model");
  }
  check_parts();
  for (const auto& part : parallel.optimizer_parts) {
    // One empty tensor may serve all parts that are empty.
    const bool is_new_tensor =
        parts_.emplace(part.optimized.unsafeGetTensorImpl(), &part).second || part.range.count == 0;
    const bool is_new_part = parts_of_parameters_.emplace(part.parameter.unsafeGetTensorImpl(), &part).second;
    if (!is_new_tensor || !is_new_part) throw Error(ErrorKind::usage, "two optimizer parts of one parameter on a rank");
  }
}

void Placements::check_parts() const {
  std::size_t number = 0;
  for (const auto& [optimized, parameter, range] : parallel_.optimizer_parts) {
    const auto refuse = [&](const std::string& why) {
      throw Error(ErrorKind::usage, fmt::format("optimizer part {}: {}", number, why));
    };
    ++number;
    if (!optimized.defined() || !parameter.defined()) refuse("a tensor is undefined");
    const auto* key = first_key(parameter);
    if (key == nullptr) refuse("its parameter is not one of the model's");
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

std::string Placements::global_key(const std::string& key) const {
  return parallel_.global_key ? parallel_.global_key(key) : key;
}

const std::string* Placements::first_key(const torch::Tensor& parameter) const {
  const auto found = first_keys_.find(parameter.unsafeGetTensorImpl());
  return found == first_keys_.end() ? nullptr : &found->second;
}

Placement Placements::placement(const std::string& global_key, const torch::Tensor& tensor) const {
  return placement_of(parallel_.rules, global_key, shape_of(tensor), grid_, rank_);
}

const OptimizerPart* Placements::part(const torch::Tensor& optimized) const {
  const auto found = parts_.find(optimized.unsafeGetTensorImpl());
  return found == parts_.end() ? nullptr : found->second;
}

const OptimizerPart* Placements::part_of_parameter(const torch::Tensor& parameter) const {
  const auto found = parts_of_parameters_.find(parameter.unsafeGetTensorImpl());
  return found == parts_of_parameters_.end() ? nullptr : found->second;
}

Placement Placements::optimizer_placement(const std::string& global_key, const torch::Tensor& optimized) const {
  const auto* of = part(optimized);
  if (of == nullptr) return placement(global_key, optimized);
  auto [shape, shard] = placement(global_key, of->parameter);
  auto part = part_of(shape, shard, of->range);
  return {std::move(shape), std::move(part)};
}

void add_placed(State& state, Tensor described, Placement placement) {
  described.description.shape = std::move(placement.global_shape);
  described.description.shard = std::move(placement.shard);
  state.add(std::move(described));
}

}  // namespace muster::torch_adapter
