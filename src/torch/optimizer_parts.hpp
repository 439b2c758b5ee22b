#pragma once
// The values of optimizer parts: masters of parameters, at <key>/master below the path of the optimizer, or the
// parameters' own.

#include "torch/load_target.hpp"
#include "torch/optimizer_view.hpp"

namespace muster::torch_adapter {

void describe_masters(State& state, const OptimizerView& view);

// After a load of the model, too: a step would put what the parts have over what was loaded. A master that the
// checkpoint does not have, that is not to be loaded or does not fit, though the parameter is filled, is made from
// that.
void prepare_parts(LoadBuilder& load, const OptimizerView& view);

}  // namespace muster::torch_adapter
