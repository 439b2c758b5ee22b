#pragma once
// The state of an optimizer: /optimizer/<key>/<slot> and /optimizer/param_groups.

#include <muster/torch.hpp>

#include "torch/load_target.hpp"
#include "torch/param_groups.hpp"
#include "torch/placements.hpp"

namespace muster::torch_adapter {

// `model` gives the parameters their names and may be null; `left_out` are those of its that are not saved. State of
// parameters that are in no group is not saved: no step uses it.
void describe_optimizer(State& state, const torch::optim::Optimizer& optimizer, const torch::nn::Module* model,
                        const Placements& placements, const LeftOut& left_out);
void prepare_optimizer(LoadBuilder& load, torch::optim::Optimizer& optimizer, const torch::nn::Module* model,
                       const Placements& placements);

}  // namespace muster::torch_adapter
