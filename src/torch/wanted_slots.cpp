#include "torch/wanted_slots.hpp"

#include <fmt/format.h>

#include <utility>

#include "torch/tensor.hpp"

namespace muster::torch_adapter {

Tensor expectation(std::string path, DType dtype, Shape shape) {
  return {.description = {{std::move(path), dtype, std::move(shape)}},
          .memory = {.data = nullptr, .read = {}, .write = [](std::uint64_t, std::span<const std::byte>) {
                       throw Error(ErrorKind::internal, "a tensor that does not fit was filled");
                     }}};
}

torch::ScalarType type_to_make(const std::string& path, DType dtype) {
  try {
    return to_scalar_type(dtype);
  } catch (const Error& error) {
    throw Error(ErrorKind::mismatch, fmt::format("{}: {}", path, error.what()));
  }
}

torch::Tensor as_loaded(const LoadBuilder& load, const torch::Tensor& parameter) {
  const auto by = load.replacement_of(parameter);
  return by.defined() ? by : parameter;
}

Placement placement_as_loaded(const LoadBuilder& load, const OptimizerView& view, const torch::Tensor& parameter) {
  const auto by = load.replacement_of(parameter);
  const bool has_other_shape = by.defined() && by.sizes() != parameter.sizes();
  return has_other_shape ? Placement{shape_of(by), Shard::whole()} : view.optimizer_placement(parameter);
}

GroupMatch group_match(const LoadBuilder& load, const OptimizerView& view) {
  if (load.is_partial()) return GroupMatch::options_only;
  return view.is_parallel() ? GroupMatch::part : GroupMatch::same;
}

bool is_usable(LoadBuilder& load, const ParsedGroups& parsed) {
  for (const auto& line : parsed.problems) load.problem(line);
  for (const auto& line : parsed.missing) load.missing(line);
  for (const auto& line : parsed.unexpected) load.unexpected(line);
  return parsed.usable && !(load.strict() && !(parsed.problems.empty() && parsed.missing.empty())) &&
         !(load.refuses_unexpected() && !parsed.unexpected.empty());
}

}  // namespace muster::torch_adapter
