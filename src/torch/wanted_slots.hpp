#pragma once
// What a load expects of the slots and the groups of an optimizer, whatever its class.

#include <string>

#include "torch/load_target.hpp"
#include "torch/optimizer_view.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// A tensor that only states what is expected: the core reports it as missing or as not fitting, and never fills it.
Tensor expectation(std::string path, DType dtype, Shape shape);

// The type to make a tensor of, which the program has not made yet. Throws Error{mismatch} if LibTorch lacks it.
torch::ScalarType type_to_make(const std::string& path, DType dtype);

// A parameter of the optimizer as it is after the load, and where what is as large as it lies.
torch::Tensor as_loaded(const LoadBuilder& load, const torch::Tensor& parameter);
Placement placement_as_loaded(const LoadBuilder& load, const OptimizerView& view, const torch::Tensor& parameter);

GroupMatch group_match(const LoadBuilder& load, const OptimizerView& view);
// Has a line for all that does not fit. Returns whether the rest is to be loaded.
bool is_usable(LoadBuilder& load, const ParsedGroups& parsed);

}  // namespace muster::torch_adapter
