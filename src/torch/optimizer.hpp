#pragma once
// The state of an optimizer: <key>/<slot> and param_groups, below its path.

#include "torch/load_target.hpp"
#include "torch/optimizer_view.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// `left_out`: the parameters of its models that are not saved. State of parameters that are in no group is not saved:
// no step uses it.
void describe_optimizer(State& state, const OptimizerView& view, const LeftOut& left_out);
// After the models: state follows parameters that the load replaces.
void prepare_optimizer(LoadBuilder& load, const OptimizerView& view);

}  // namespace muster::torch_adapter
