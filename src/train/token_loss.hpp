#pragma once
// The loss of each token where the logits are cut along the vocabulary over a tensor parallel group.

#include <torch/torch.h>

#include <cstdint>

#include "mpi/comm.hpp"

namespace muster::train {

// logits [tokens, own part of the vocabulary], targets [tokens] int64 -> [tokens] cross entropies in float32, the same
// on all ranks of the group. Collective over the group; the backward pass is local. No rank ever has all the logits.
torch::Tensor token_losses(const torch::Tensor& logits, const torch::Tensor& targets, std::int64_t vocabulary,
                           const mpi::CommView& group);

}  // namespace muster::train
