#pragma once
// The names of the objects that a program and a checkpoint have, for the comparison of both.

#include <muster/checkpoint.hpp>
#include <set>
#include <string>
#include <vector>

#include "torch/objects.hpp"

namespace muster::torch_adapter {

using ObjectNames = std::set<std::string>;  // "model generator", "tensor ema/decay", "per-rank tensors replay"

ObjectNames names_of(const TrainingState::Objects& objects);
// Of what `only` (see LoadOptions) selects.
ObjectNames names_of(const CheckpointContents& contents, const std::vector<std::string>& only);

// "the checkpoint has model a, model b; the program has model a"
std::string both(const ObjectNames& in_checkpoint, const ObjectNames& in_program);

}  // namespace muster::torch_adapter
