#pragma once
// What the parameters of an optimizer are called in a checkpoint.

#include <torch/torch.h>

#include <string>
#include <vector>

#include "torch/optimizer_view.hpp"

namespace muster::torch_adapter {

// One list a param group, in its order. With models: the key of the parameter, or of the one of which it is a part;
// "param_<position>" for one that the only model of a program does not have. Without models: the position, counted over
// all groups. Throws Error{usage} for an undefined parameter, one that is listed twice, two that would share a key, and
// one that belongs to none of the models that were named.
std::vector<std::vector<std::string>> parameter_keys(const OptimizerView& view);

}  // namespace muster::torch_adapter
