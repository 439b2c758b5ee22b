#pragma once
// The state of each rank's default CPU generator: row `rank` of /rng/cpu, a uint8 tensor [ranks, bytes].

#include <muster/state.hpp>

#include "torch/load_target.hpp"

namespace muster::torch_adapter {

void describe_generator(State& state, int rank, int world_size);
// A rank that the saving job did not have keeps its generator as it is.
void prepare_generator(LoadBuilder& load, int rank);

}  // namespace muster::torch_adapter
