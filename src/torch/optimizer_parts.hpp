#pragma once
// The values of optimizer parts: masters of parameters, at /optimizer/<key>/master, or the parameters' own.

#include <muster/torch.hpp>
#include <vector>

#include "torch/load_target.hpp"
#include "torch/places.hpp"

namespace muster::torch_adapter {

void describe_masters(State& state, const std::vector<OptimizerPart>& parts, const torch::nn::Module& model,
                      const Places& places);

// After a load of the model, too: a step would put what the parts have over what was loaded. A master that the
// checkpoint does not have, or that is not to be loaded though the parameter is, is made from the parameter.
void prepare_parts(LoadBuilder& load, const std::vector<OptimizerPart>& parts, const torch::nn::Module& model,
                   const Places& places);

}  // namespace muster::torch_adapter
