#pragma once
// Tensors, lists of tensors and documents of a TrainingState: below /tensors and /documents, and below
// /per_rank/<rank> for what each rank has for itself.

#include "torch/load_target.hpp"
#include "torch/objects.hpp"

namespace muster::torch_adapter {

void describe_entries(State& state, const TrainingState::Objects& objects, const DescribeContext& context);
void prepare_entries(LoadBuilder& load, const TrainingState::Objects& objects, const PrepareContext& context);

}  // namespace muster::torch_adapter
