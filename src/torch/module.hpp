#pragma once
// Parameters and buffers of a module: /model/<key>, with the keys of its state_dict.

#include <cstdint>
#include <muster/torch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "torch/load_target.hpp"
#include "torch/param_groups.hpp"
#include "torch/placements.hpp"

namespace muster::torch_adapter {

// Parameters, then buffers. Undefined ones are left out, as in Python; a tensor registered twice is there under both
// names, so that a state_dict finds all of its keys.
std::vector<std::pair<std::string, torch::Tensor>> state_dict(const torch::nn::Module& module);

// Buffers that the forward pass of a training module writes (running means) must be copied at once where the copy of
// everything else goes on beside it.
enum class Buffers : std::uint8_t { in_place, copied };
// `leaves_out_low_precision`: parameters that a load can make again from their masters are not saved. Returns those.
LeftOut describe_module(State& state, const torch::nn::Module& module, const Placements& placements, Buffers buffers,
                        bool leaves_out_low_precision);
// What the checkpoint has in another dtype, or not at all, is made from its master where it has that. Of what was left
// out only in the dtype that it had, or in the master's: any other rounding has to be asked for.
void prepare_module(LoadBuilder& load, const torch::nn::Module& module, const Placements& placements);

}  // namespace muster::torch_adapter
