#pragma once
// The values of optimizer parts: masters of parameters, at /optimizer/<key>/master, or the parameters' own.

#include <muster/torch.hpp>
#include <vector>

#include "torch/load_target.hpp"
#include "torch/placements.hpp"

namespace muster::torch_adapter {

// `stand_for_weights`: the parameters themselves are not saved.
void describe_masters(State& state, const std::vector<OptimizerPart>& parts, const Placements& placements,
                      bool stand_for_weights);

// After a load of the model, too: a step would put what the parts have over what was loaded. A master that the
// checkpoint does not have, that is not to be loaded or does not fit, though the parameter is filled, is made from
// that.
void prepare_parts(LoadBuilder& load, const std::vector<OptimizerPart>& parts, const Placements& placements);

}  // namespace muster::torch_adapter
