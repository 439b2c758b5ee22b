#pragma once
// Optimizers of classes for which there are no OptimizerTraits: what their `save` writes is taken apart.

#include <nlohmann/json.hpp>

#include "torch/load_target.hpp"
#include "torch/optimizer_view.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

void describe_archived(State& state, const OptimizerView& view, const GroupKeys& keys, const LeftOut& left_out);
// document: param_groups of the checkpoint.
void prepare_archived(LoadBuilder& load, const OptimizerView& view, const GroupKeys& keys,
                      const nlohmann::json& document);

}  // namespace muster::torch_adapter
