#pragma once
// The learning-rate scheduler: the document /scheduler, {"class": name, "state": what its traits saved}.

#include <muster/torch.hpp>

#include "torch/load_target.hpp"

namespace muster::torch_adapter {

void describe_scheduler(State& state, const SchedulerRef& scheduler);
void prepare_scheduler(LoadBuilder& load, const SchedulerRef& scheduler);

}  // namespace muster::torch_adapter
