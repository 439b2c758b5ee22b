#pragma once
// Parameters and buffers of a module: /model/<key>, with the keys of its state_dict.

#include <muster/torch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "torch/load_target.hpp"

namespace muster::torch_adapter {

// Parameters, then buffers. Undefined ones are left out, as in Python; a tensor registered twice is there under both
// names, so that a state_dict finds all of its keys.
std::vector<std::pair<std::string, torch::Tensor>> state_dict(const torch::nn::Module& module);

void describe_module(State& state, const torch::nn::Module& module);
void prepare_module(LoadBuilder& load, const torch::nn::Module& module);

}  // namespace muster::torch_adapter
