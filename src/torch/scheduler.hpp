#pragma once
// A learning-rate scheduler: the document {"class": name, "state": what its traits saved} at its path.

#include <muster/torch/scheduler_traits.hpp>

#include "torch/load_target.hpp"
#include "torch/object_path.hpp"

namespace muster::torch_adapter {

void describe_scheduler(State& state, const ObjectPath& at, const SchedulerRef& scheduler);
void prepare_scheduler(LoadBuilder& load, const ObjectPath& at, const SchedulerRef& scheduler);

}  // namespace muster::torch_adapter
