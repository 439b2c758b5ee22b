#pragma once
// Which part of the GPT each rank of a grid holds: what makes its weights, and what muster is told to save and load it.

#include <cstdint>
#include <functional>
#include <muster/rules.hpp>
#include <string>
#include <vector>

#include "train/gpt.hpp"
#include "train/ranks.hpp"

namespace muster::train {

// Local. Throws Error{usage} where the shape cannot be cut so: every stage needs a block, every rank of a tensor
// parallel group the same number of heads, and some of the 256 byte values.
void require_cuttable(const GptShape& shape, const Grid& grid);

// Local. PipelineStages differ by at most one block.
GptStage stage_of(const GptShape& shape, int stage, int stages);

// How the tensors are cut over the tensor axis, by the keys of the whole model.
std::vector<ShardingRule> sharding_rules();

// From a key of a stage's module to that of the whole model: "blocks.0..." of a stage that begins with block 2 is
// "blocks.2...".
std::function<std::string(const std::string&)> global_key(const GptStage& stage);

// Collective. The whole model as a run from the start begins, with the same bits on all ranks.
Gpt draw_model(const mpi::CommView& comm, const GptShape& shape, std::uint64_t seed);

// Local. This rank's part, with the values of the whole model.
Gpt part_of_model(const Gpt& whole, const GptShape& shape, const Ranks& ranks);

}  // namespace muster::train
