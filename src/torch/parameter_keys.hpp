#pragma once
// What the parameters of an optimizer are called in a checkpoint.

#include <torch/torch.h>

#include <string>
#include <vector>

namespace muster::torch_adapter {

// One list a param group, in its order. With a model: its name for the parameter, "param_<position>" for a parameter
// that it does not have. Without one: the position, counted over all groups. Throws Error{usage} for an undefined
// parameter, one that is listed twice, and two that would share a key.
std::vector<std::vector<std::string>> parameter_keys(const torch::optim::Optimizer& optimizer,
                                                     const torch::nn::Module* model);

}  // namespace muster::torch_adapter
