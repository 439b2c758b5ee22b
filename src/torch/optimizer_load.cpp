#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "base/narrow.hpp"
#include "torch/optimizer.hpp"
#include "torch/optimizer_archive.hpp"
#include "torch/optimizer_kinds.hpp"
#include "torch/param_groups.hpp"
#include "torch/param_state.hpp"
#include "torch/parameter_keys.hpp"
#include "torch/tensor.hpp"
#include "torch/wanted_slots.hpp"

namespace muster::torch_adapter {

namespace {

// The optimizer's part of a checkpoint, as far as it is to be loaded, looked up by path.
class SavedSlots {
 public:
  SavedSlots(const LoadBuilder& load, const ObjectPath& at) {
    for (const auto& tensor : load.contents().tensors) {
      if (!tensor.path.starts_with(at.path() + "/") || !load.selects(tensor.path)) continue;
      const auto keys = object_keys(tensor.path.substr(at.path().size()));
      if (keys.size() != 2) continue;
      slots_.emplace(tensor.path, &tensor);
      if (keys[1] != kMasterSlot) keys_.insert(keys[0]);
    }
  }
  [[nodiscard]] bool has_key(const std::string& key) const { return keys_.contains(key); }
  // Null where there is none.
  [[nodiscard]] const TensorDescription* find(const std::string& path) const {
    const auto found = slots_.find(path);
    return found == slots_.end() ? nullptr : found->second;
  }

 private:
  std::unordered_map<std::string, const TensorDescription*> slots_;
  std::unordered_set<std::string> keys_;
};

// What a parameter's slots have to look like.
struct Expected {
  torch::Tensor parameter;
  Placement placement;            // of what is as large as the parameter
  std::int64_t flat_size = 0;     // elements of all parameters of the group
  std::int64_t history_size = 0;  // of LBFGS

  [[nodiscard]] Shape shape(SlotShape kind) const {
    switch (kind) {
      case SlotShape::parameter:
        return placement.global_shape;
      case SlotShape::flat:
        return {narrow<std::uint64_t>(flat_size)};
      case SlotShape::single:
        break;
    }
    return {};
  }
};

// Makes the state of one parameter on the side. Tensors that the optimizer has already are wanted where they lie;
// scalars and new tensors live in the new state, which a commit installs.
class SlotReader {
 public:
  SlotReader(const LoadBuilder& load, const SavedSlots& saved, const ObjectPath& at, std::string key, Expected expected,
             bool is_new)
      : load_(load),
        saved_(saved),
        at_(at),
        key_(std::move(key)),
        expected_(std::move(expected)),
        is_new_(is_new),
        strict_(load.strict() && !load.is_partial()) {}

  void operator()(const Slot& slot, torch::Tensor& place) { read(slot, slot.name, place); }
  void operator()(const Slot& slot, std::int64_t& place) { read_scalar(slot, DType::int64, &place); }
  void operator()(const Slot& slot, double& place) { read_scalar(slot, DType::float64, &place); }

  void operator()(const Slot& slot, std::deque<torch::Tensor>& placements) {
    std::size_t count = 0;
    while (saved_.find(slot_path(at_, key_, list_slot(slot.name, count))) != nullptr) ++count;
    if (count > 0 || strict_) placements.resize(count);
    for (std::size_t i = 0; i < placements.size(); ++i) read(required(slot), list_slot(slot.name, i), placements[i]);
    list_sizes_.push_back(placements.size());
  }

  // The workspace of LBFGS: one entry a step of history, the first ones in use, the rest undefined.
  void operator()(const Slot& slot, TorchOptional<std::vector<torch::Tensor>>& placements) {
    std::size_t count = 0;
    while (saved_.find(slot_path(at_, key_, list_slot(slot.name, count))) != nullptr) ++count;
    if (count == 0) {
      if (strict_) placements = c10::nullopt;
      return;
    }
    std::vector<torch::Tensor> entries = placements.value_or(std::vector<torch::Tensor>());
    // Torch indexes it by the length of the history without looking at its size.
    entries.resize(std::max(narrow<std::size_t>(expected_.history_size), count));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i < count) {
        read(slot, list_slot(slot.name, i), entries[i]);
      } else if (strict_) {
        entries[i] = torch::Tensor();
      }
    }
    placements = std::move(entries);
  }

  [[nodiscard]] State& wanted() { return wanted_; }
  // Whether any is there, but of no use.
  [[nodiscard]] bool misfits() const { return misfits_; }
  // Whether a step with this state would find all that it needs.
  [[nodiscard]] bool complete() const {
    return complete_ &&
           std::adjacent_find(list_sizes_.begin(), list_sizes_.end(), std::not_equal_to<>()) == list_sizes_.end();
  }

 private:
  static Slot required(Slot slot) {
    slot.required = true;
    return slot;
  }

  void read(const Slot& slot, std::string_view name, torch::Tensor& place) {
    auto path = slot_path(at_, key_, name);
    const auto shape = expected_.shape(slot.shape);
    const auto* saved = saved_.find(path);
    const auto dtype = wanted_dtype(slot, place, saved);
    if (saved == nullptr || saved->shape != shape || !load_.fits(saved->dtype, dtype)) {
      if (saved != nullptr || slot.required) wanted_.add(expectation(std::move(path), dtype, shape));
      if (strict_) place = torch::Tensor();
      // Moments of before would go on with the step count of the checkpoint.
      if (saved != nullptr) misfits_ = true;
      if (slot.required && (saved != nullptr || !place.defined())) complete_ = false;
      return;
    }
    const auto type = type_to_make(path, dtype);
    const bool is_like_parameter = slot.shape == SlotShape::parameter;
    const auto local = is_like_parameter ? shape_of(expected_.parameter) : shape;
    const bool in_place = place.defined() && place.layout() == torch::kStrided && place.scalar_type() == type &&
                          shape_of(place) == local && is_writable(place);
    if (!in_place) place = allocate(type, local);
    add_placed(wanted_, describe_tensor(std::move(path), place),
               is_like_parameter ? expected_.placement : Placement{shape, Shard::whole()});
  }

  void read_scalar(const Slot& slot, DType dtype, void* place) {
    auto path = slot_path(at_, key_, slot.name);
    const auto* saved = saved_.find(path);
    if (saved == nullptr || !load_.fits(saved->dtype, dtype) || !saved->shape.empty()) {
      wanted_.add(expectation(std::move(path), dtype, {}));
      if (is_new_) complete_ = false;
      return;
    }
    wanted_.add_mutable(std::move(path), dtype, {}, place);
  }

  // What is as large as the parameter has its dtype, as Torch makes it, or the one that it has already.
  [[nodiscard]] DType wanted_dtype(const Slot& slot, const torch::Tensor& place, const TensorDescription* saved) const {
    if (place.defined()) return to_dtype(place.scalar_type());
    if (slot.shape == SlotShape::parameter || saved == nullptr) return to_dtype(expected_.parameter.scalar_type());
    return saved->dtype;
  }

  [[nodiscard]] torch::Tensor allocate(torch::ScalarType type, const Shape& shape) const {
    const auto options = torch::TensorOptions().dtype(type).device(expected_.parameter.device());
    if (shape == shape_of(expected_.parameter)) {
      // With the strides that Torch would give it.
      return torch::empty_like(expected_.parameter, options, torch::MemoryFormat::Preserve);
    }
    std::vector<std::int64_t> sizes;
    for (const auto size : shape) sizes.push_back(narrow<std::int64_t>(size));
    return torch::empty(sizes, options);
  }

  const LoadBuilder& load_;
  const SavedSlots& saved_;
  const ObjectPath& at_;
  std::string key_;
  Expected expected_;
  bool is_new_;
  bool strict_;
  State wanted_;
  bool complete_ = true;
  bool misfits_ = false;
  std::vector<std::size_t> list_sizes_;
};

// All that a commit changes in an optimizer.
struct Restored {
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options;  // one a group
  // By Torch's key; null: the checkpoint has no state for the parameter.
  std::vector<std::pair<OptimizerStateKey, std::unique_ptr<torch::optim::OptimizerParamState>>> states;
};

void install(const OptimizerClass& kind, torch::optim::Optimizer& optimizer, Restored& restored) {
  for (std::size_t i = 0; i < restored.options.size(); ++i) {
    // Assigned, not replaced: the program may hold a reference to its options.
    kind.assign(optimizer.param_groups()[i].options(), *restored.options[i]);
  }
  for (auto& [key, state] : restored.states) {
    if (state == nullptr) {
      optimizer.state().erase(key);
    } else {
      optimizer.state()[key] = std::move(state);
    }
  }
}

std::int64_t history_size(const torch::optim::OptimizerOptions& options) {
  const auto* lbfgs = dynamic_cast<const torch::optim::LBFGSOptions*>(&options);
  return lbfgs != nullptr ? std::max<std::int64_t>(lbfgs->history_size(), 0) : 0;
}

void prepare(LoadBuilder& load, const OptimizerClass& kind, const OptimizerView& view, const GroupKeys& keys,
             Restored& restored) {
  require_whole(kind, view, keys);
  const auto& optimizer = view.optimizer();
  const SavedSlots saved(load, view.at());
  for (std::size_t group = 0; group < keys.size(); ++group) {
    const auto& params = optimizer.param_groups()[group].params();
    std::int64_t flat_size = 0;
    for (const auto& parameter : params) flat_size += as_loaded(load, parameter).numel();
    for (std::size_t i = 0; i < params.size(); ++i) {
      const auto& key = keys[group][i];
      const auto* now = find_param_state(kind, optimizer, params[i]);
      if (!saved.has_key(key)) {
        if (now != nullptr && load.strict() && !load.is_partial())
          restored.states.emplace_back(optimizer_state_key(params[i]), nullptr);
        continue;
      }
      // A copy shares the tensors, which are wanted where they lie, and has scalars and lists of its own.
      auto next = now != nullptr ? kind.copy(*now) : kind.make_state();
      SlotReader reader(load, saved, view.at(), key,
                        {as_loaded(load, params[i]), placement_as_loaded(load, view, params[i]), flat_size,
                         history_size(*restored.options[group])},
                        now == nullptr);
      kind.visit_slots(*next, [&](const Slot& slot, const SlotValue& value) {
        std::visit([&](auto* place) { reader(slot, *place); }, value);
      });
      if (!reader.complete()) {
        auto line = fmt::format("{}: some of its slots are missing or do not fit, so none of them is loaded",
                                view.at().at(key));
        if (reader.misfits()) {
          load.problem(std::move(line));
        } else {
          load.missing(std::move(line));
        }
        // Without strictness the state stays as it is; with it, the core lists what is wrong with each slot.
        if (!load.strict()) continue;
      }
      for (const auto& tensor : reader.wanted().tensors()) load.state().add(tensor);
      restored.states.emplace_back(optimizer_state_key(params[i]), std::move(next));
    }
  }
}

}  // namespace

void prepare_optimizer(LoadBuilder& load, const OptimizerView& view) {
  auto& optimizer = view.optimizer();
  const auto keys = parameter_keys(view);
  const auto path = view.at().at(kParamGroupsKey);
  const auto* document = load.contents().find_document(path);
  if (document == nullptr) {
    load.missing(path + ": the checkpoint has no optimizer");
    return;
  }
  const auto* kind = class_of(view.ref());
  if (kind == nullptr) return prepare_archived(load, view, keys, *document);
  auto parsed = parse_param_groups(path, *document, *kind, optimizer, keys, group_match(load, view), load.strict(),
                                   [&load](const std::string& key) { return load.key_here(key); });
  if (!is_usable(load, parsed)) return;
  const auto restored = std::make_shared<Restored>();
  restored->options = std::move(parsed.options);
  // Tensors made here outlive the load: they must be usable in training whatever mode the caller is in.
  const c10::InferenceMode normal_mode(false);
  const torch::NoGradGuard no_grad;
  prepare(load, *kind, view, keys, *restored);
  load.want_whole(view.at().section());
  load.on_commit([kind, &optimizer, restored] { install(*kind, optimizer, *restored); });
}

}  // namespace muster::torch_adapter
