#include <fmt/format.h>

#include <deque>

#include "torch/optimizer.hpp"
#include "torch/optimizer_kinds.hpp"
#include "torch/param_groups.hpp"
#include "torch/param_state.hpp"
#include "torch/parameter_keys.hpp"

namespace muster::torch_adapter {

namespace {

// Adds every slot that has a value; scalars by pointer into the optimizer's own state.
class SlotWriter {
 public:
  SlotWriter(State& state, const std::string& key) : state_(state), key_(key) {}

  void operator()(const Slot& slot, const torch::Tensor& value) { add(slot.name, value); }
  void operator()(const Slot& slot, const std::int64_t& value) {
    state_.add(slot_path(key_, slot.name), DType::int64, {}, &value);
  }
  void operator()(const Slot& slot, const double& value) {
    state_.add(slot_path(key_, slot.name), DType::float64, {}, &value);
  }
  void operator()(const Slot& slot, const std::deque<torch::Tensor>& values) { add_list(slot, values); }
  void operator()(const Slot& slot, const c10::optional<std::vector<torch::Tensor>>& values) {
    if (values) add_list(slot, *values);
  }

 private:
  template <class List>
  void add_list(const Slot& slot, const List& values) {
    for (std::size_t i = 0; i < values.size(); ++i) add(list_slot(slot.name, i), values[i]);
  }
  void add(std::string_view slot, const torch::Tensor& value) {
    if (value.defined()) add_torch_tensor(state_, slot_path(key_, slot), value);
  }

  State& state_;
  const std::string& key_;
};

}  // namespace

void describe_optimizer(State& state, const torch::optim::Optimizer& optimizer, const torch::nn::Module* model) {
  const auto keys = parameter_keys(optimizer, model);
  with_kind(optimizer, [&]<class Kind>(Kind) {
    for (std::size_t group = 0; group < keys.size(); ++group) {
      const auto& params = optimizer.param_groups()[group].params();
      for (std::size_t i = 0; i < params.size(); ++i) {
        const auto* slots = find_param_state<Kind>(optimizer, params[i]);
        if (slots != nullptr) Kind::visit_slots(*slots, SlotWriter(state, keys[group][i]));
      }
    }
  });
  state.add(Document{object_path({kOptimizerSection, kParamGroupsKey}), param_groups_document(optimizer, keys)});
}

}  // namespace muster::torch_adapter
