#pragma once
// What the parameters of an optimizer are called in a checkpoint.

#include <torch/torch.h>

#include <string>
#include <vector>

#include "torch/placements.hpp"

namespace muster::torch_adapter {

// One list a param group, in its order. With a model: the global key of the parameter, or of the one of which it is a
// part; "param_<position>" for one that the model does not have. Without one: the position, counted over all groups.
// Throws Error{usage} for an undefined parameter, one that is listed twice, and two that would share a key.
std::vector<std::vector<std::string>> parameter_keys(const torch::optim::Optimizer& optimizer,
                                                     const torch::nn::Module* model, const Placements& placements);

}  // namespace muster::torch_adapter
