#include <fmt/format.h>

#include <deque>
#include <memory>
#include <utility>

#include "torch/optimizer.hpp"
#include "torch/optimizer_archive.hpp"
#include "torch/optimizer_kinds.hpp"
#include "torch/param_groups.hpp"
#include "torch/param_state.hpp"
#include "torch/parameter_keys.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

// Adds every slot that has a value.
class SlotWriter {
 public:
  SlotWriter(State& state, const std::string& key, const torch::Tensor& parameter, const OptimizerView& view)
      : state_(state), key_(key), parameter_(parameter), view_(view) {}

  void operator()(const Slot& slot, const torch::Tensor& value) {
    if (!value.defined()) return;
    auto described = describe_tensor(slot_path(view_.at(), key_, slot.name), value);
    if (slot.shape == SlotShape::parameter && value.sizes() == parameter_.sizes()) {
      add_placed(state_, std::move(described), view_.optimizer_placement(parameter_));
    } else {
      described.description.shard = shard_of_scalar();
      state_.add(std::move(described));
    }
  }
  void operator()(const Slot& slot, const std::int64_t& value) { add_number(slot, DType::int64, value); }
  void operator()(const Slot& slot, const double& value) { add_number(slot, DType::float64, value); }
  void operator()(const Slot& slot, const std::deque<torch::Tensor>& values) { add_list(slot, values); }
  void operator()(const Slot& slot, const TorchOptional<std::vector<torch::Tensor>>& values) {
    if (values) add_list(slot, *values);
  }

 private:
  template <class List>
  void add_list(const Slot& slot, const List& values) {
    for (std::size_t i = 0; i < values.size(); ++i) add(list_slot(slot.name, i), values[i]);
  }
  void add(std::string_view slot, const torch::Tensor& value) {
    if (value.defined()) add_torch_tensor(state_, slot_path(view_.at(), key_, slot), value);
  }
  // A copy: the optimizer may make its state anew while a background save still reads.
  template <class Number>
  void add_number(const Slot& slot, DType dtype, Number value) {
    auto owner = std::make_shared<Number>(value);
    auto* data = reinterpret_cast<std::byte*>(owner.get());
    state_.add({.description = {{slot_path(view_.at(), key_, slot.name), dtype, {}}, shard_of_scalar()},
                .memory = {.data = data, .owner = std::move(owner)}});
  }
  // Of a parameter in parts, only the ranks that have some of it have its scalars.
  [[nodiscard]] Shard shard_of_scalar() const {
    return view_.part(parameter_) != nullptr ? Shard::flat(0, 1) : Shard::whole();
  }

  State& state_;
  const std::string& key_;
  const torch::Tensor& parameter_;
  const OptimizerView& view_;
};

}  // namespace

void describe_optimizer(State& state, const OptimizerView& view, const LeftOut& left_out) {
  const auto& optimizer = view.optimizer();
  const auto keys = parameter_keys(view);
  const auto* kind = class_of(view.ref());
  if (kind == nullptr) return describe_archived(state, view, keys, left_out);
  require_whole(*kind, view, keys);
  for (std::size_t group = 0; group < keys.size(); ++group) {
    const auto& params = optimizer.param_groups()[group].params();
    for (std::size_t i = 0; i < params.size(); ++i) {
      auto* slots = find_param_state(*kind, optimizer, params[i]);
      if (slots == nullptr) continue;
      SlotWriter writer(state, keys[group][i], params[i], view);
      kind->visit_slots(*slots, [&](const Slot& slot, const SlotValue& value) {
        std::visit([&](const auto* found) { writer(slot, *found); }, value);
      });
    }
  }
  Document document{.path = view.at().at(kParamGroupsKey),
                    .value = param_groups_document(*kind, optimizer, keys, view.model_names(), left_out)};
  if (view.is_parallel()) {
    document.contribution = contribution_of(keys, left_out);
    document.join = [groups = document.value](const std::vector<std::string>& contributions) {
      return with_params_of_all(groups, contributions);
    };
  }
  state.add(std::move(document));
}

}  // namespace muster::torch_adapter
