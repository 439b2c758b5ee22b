#include <fmt/format.h>

#include <deque>

#include "torch/optimizer.hpp"
#include "torch/optimizer_kinds.hpp"
#include "torch/param_groups.hpp"
#include "torch/param_state.hpp"
#include "torch/parameter_keys.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

// Adds every slot that has a value; scalars by pointer into the optimizer's own state.
class SlotWriter {
 public:
  SlotWriter(State& state, const std::string& key, const torch::Tensor& parameter, const Placements& placements)
      : state_(state), key_(key), parameter_(parameter), places_(placements) {}

  void operator()(const Slot& slot, const torch::Tensor& value) {
    if (!value.defined()) return;
    auto described = describe_tensor(slot_path(key_, slot.name), value);
    if (slot.shape == SlotShape::parameter && value.sizes() == parameter_.sizes()) {
      add_placed(state_, std::move(described), places_.optimizer_placement(key_, parameter_));
    } else {
      described.description.shard = shard_of_scalar();
      state_.add(std::move(described));
    }
  }
  void operator()(const Slot& slot, const std::int64_t& value) {
    state_.add(slot_path(key_, slot.name), DType::int64, {}, &value, shard_of_scalar());
  }
  void operator()(const Slot& slot, const double& value) {
    state_.add(slot_path(key_, slot.name), DType::float64, {}, &value, shard_of_scalar());
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
  // Of a parameter in parts, only the ranks that have some of it have its scalars.
  [[nodiscard]] Shard shard_of_scalar() const {
    return places_.part(parameter_) != nullptr ? Shard::flat(0, 1) : Shard::whole();
  }

  State& state_;
  const std::string& key_;
  const torch::Tensor& parameter_;
  const Placements& places_;
};

}  // namespace

void describe_optimizer(State& state, const torch::optim::Optimizer& optimizer, const torch::nn::Module* model,
                        const Placements& placements, const LeftOut& left_out) {
  const auto keys = parameter_keys(optimizer, model, placements);
  with_kind(optimizer, [&]<class Kind>(Kind) {
    require_whole<Kind>(optimizer, keys, placements);
    for (std::size_t group = 0; group < keys.size(); ++group) {
      const auto& params = optimizer.param_groups()[group].params();
      for (std::size_t i = 0; i < params.size(); ++i) {
        const auto* slots = find_param_state<Kind>(optimizer, params[i]);
        if (slots != nullptr) Kind::visit_slots(*slots, SlotWriter(state, keys[group][i], params[i], placements));
      }
    }
  });
  Document document{.path = object_path({kOptimizerSection, kParamGroupsKey}),
                    .value = param_groups_document(optimizer, keys, left_out)};
  if (placements.is_parallel()) {
    document.contribution = contribution_of(keys, left_out);
    document.join = [groups = document.value](const std::vector<std::string>& contributions) {
      return with_params_of_all(groups, contributions);
    };
  }
  state.add(std::move(document));
}

}  // namespace muster::torch_adapter
