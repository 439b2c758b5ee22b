#include <fmt/format.h>

#include <map>
#include <memory>
#include <utility>

#include "base/narrow.hpp"
#include "torch/archive_layout.hpp"
#include "torch/archive_slots.hpp"
#include "torch/optimizer_archive.hpp"
#include "torch/param_state.hpp"
#include "torch/restored_archive.hpp"
#include "torch/tensor.hpp"
#include "torch/wanted_slots.hpp"

namespace muster::torch_adapter {

namespace {

using c10::IValue;
using nlohmann::json;
// Lists of tensors that a load makes: each tensor of the checkpoint is an element or a value of its own.
class Lists {
 public:
  // Returns the list, to be filled.
  IValue add(const ArchivePath& path, std::size_t size) {
    c10::List<at::Tensor> list;
    for (std::size_t i = 0; i < size; ++i) {
      list.push_back(at::Tensor());
      elements_.emplace(element_path(path, i), std::pair(path, i));
    }
    return list;
  }
  // Where a tensor with this path goes.
  Filled take(const ArchivePath& path, torch::Tensor tensor) {
    const auto found = elements_.find(path);
    if (found == elements_.end()) return {path, std::move(tensor)};
    auto [list, index] = found->second;
    elements_.erase(found);
    return {std::move(list), std::move(tensor), Filled::As::element, index};
  }
  // Elements that were not taken.
  [[nodiscard]] std::vector<ArchivePath> rest() const {
    std::vector<ArchivePath> paths;
    for (const auto& item : elements_) paths.push_back(item.first);
    return paths;
  }

 private:
  std::map<ArchivePath, std::pair<ArchivePath, std::size_t>> elements_;  // list and index, by path
};

class ArchiveReader {
 public:
  ArchiveReader(LoadBuilder& load, const OptimizerView& view, const GroupKeys& keys, const json& document)
      : load_(load),
        view_(view),
        keys_(keys),
        document_(document),
        where_(view.at().at(kParamGroupsKey)),
        now_(saved_tree(view.optimizer())),
        state_keys_(now_, keys) {}

  std::shared_ptr<RestoredArchive> read() {
    restored_->tree = now_;  // shares the tensors
    // State that the checkpoint lacks goes, unless the load leaves other state as it is.
    restored_->replaces_state = load_.strict() && !load_.is_partial();
    if (restored_->replaces_state && now_.find(kState) != nullptr) restored_->tree.nested[kState] = {};
    read_options();
    find_tensors();
    for (std::size_t group = 0; group < keys_.size(); ++group) {
      for (std::size_t i = 0; i < keys_[group].size(); ++i) {
        read_state(keys_[group][i], view_.optimizer().param_groups()[group].params()[i]);
      }
    }
    read_others();
    return restored_;
  }

 private:
  using SavedTensors = std::vector<std::pair<ArchivePath, const TensorDescription*>>;

  void read_options() {
    const auto& groups = document_["groups"];
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const auto problem = [&](const std::string& text) {
        load_.problem(fmt::format("{} group {}: {}", where_, i, text));
      };
      const auto* now = options_of(now_, i);
      for (const auto& [name, saved] : groups[i].items()) {
        if (name == kParams) continue;
        if (now == nullptr || !now->values.contains(name)) {
          if (load_.strict()) problem(fmt::format("has an option '{}' that this optimizer does not know", name));
        } else if (auto value = option_value(saved, now->values.at(name))) {
          restored_->tree.set(option_path(i, name), std::move(*value));
        } else {
          problem(fmt::format("option '{}' cannot be {}", name, saved.type_name()));
        }
      }
      if (now == nullptr) continue;
      for (const auto& [name, value] : now->values) {
        const bool is_here = groups[i].contains(name) || is_tensor(value) || is_tensor_list(value);
        if (!is_here && load_.strict()) problem(fmt::format("has no option '{}'", name));
      }
      restored_->options.push_back(try_options(i));
    }
  }

  static const ArchiveTree* options_of(const ArchiveTree& tree, std::size_t group) {
    const auto* groups = tree.find(kGroups);
    const auto* one = groups != nullptr ? groups->find(group_key(group)) : nullptr;
    return one != nullptr ? one->find(kOptions) : nullptr;
  }

  // The options as an archive, if their class can read it. LibTorch's load of an optimizer leaves options as they are.
  // Null if they have tensors, which are not there yet.
  std::unique_ptr<torch::serialize::InputArchive> try_options(std::size_t group) {
    auto values = *options_of(restored_->tree, group);
    bool has_tensors = false;
    values.for_each(
        [&](const ArchivePath&, const IValue& value) { has_tensors |= value.isTensor() || is_tensor_list(value); });
    if (has_tensors) return nullptr;
    auto archive = std::make_unique<torch::serialize::InputArchive>(archive_of(std::move(values)));
    try {
      view_.optimizer().param_groups()[group].options().clone()->serialize(*archive);
      return archive;
    } catch (const c10::Error&) {  // it has no clone() or serialize()
      return nullptr;
    }
  }

  // Those of the checkpoint that are to be loaded.
  void find_tensors() {
    for (const auto& tensor : load_.contents().tensors) {
      if (!tensor.path.starts_with(view_.at().path() + "/") || !load_.selects(tensor.path)) continue;
      const auto keys = object_keys(tensor.path.substr(view_.at().path().size()));
      ArchivePath rest(keys.begin() + 1, keys.end());
      if (rest.empty() || rest == ArchivePath{kMasterSlot}) continue;
      if (state_keys_.has(keys[0])) {
        slots_[keys[0]].emplace_back(std::move(rest), &tensor);
      } else if (keys[0] == kArchive) {
        others_.emplace_back(std::move(rest), &tensor);
      }
    }
    for (const auto& [saved_name, values] : member(kValues).items()) {
      const auto name = load_.key_here(saved_name);
      for (const auto& [slot, value] : values.items()) {
        if (load_.selects(view_.at().at(name) + "/" + slot)) values_[name].emplace(slot, value);
      }
    }
  }

  void read_state(const std::string& name, const torch::Tensor& own) {
    const auto tensors = slots_[name];
    const auto values = values_[name];
    if (tensors.empty() && values.empty()) return;
    const auto at = view_.at().at(name) + "/";
    const auto parameter = as_loaded(load_, own);
    const auto placement = placement_as_loaded(load_, view_, own);
    ArchiveTree next;  // of this parameter
    Lists lists;
    State wanted;
    State misfits;
    std::vector<Filled> filled;
    bool is_usable = true;
    for (const auto& [slot, text] : values) is_usable &= add_value(next, lists, path_keys(slot), text, at + slot);
    for (const auto& [slot, saved] : tensors) {
      const auto kind = member(kSlots).value(path_text(slot), std::string(kTensor));
      const auto number = type_of_number(kind);
      const auto dtype = number ? to_dtype(*number) : dtype_of(state_keys_.path(name, slot), *saved);
      const auto shape = number ? Shape() : kind == kLikeParameter ? placement.global_shape : saved->shape;
      if (saved->shape != shape || !load_.fits(saved->dtype, dtype)) {
        misfits.add(expectation(saved->path, dtype, shape));
        continue;
      }
      const bool is_like_parameter = !number && shape == placement.global_shape;
      const auto type = type_to_make(saved->path, dtype);
      auto place = is_like_parameter ? torch::empty_like(parameter, torch::dtype(type), torch::MemoryFormat::Preserve)
                                     : allocate(type, shape, parameter.device());
      add_placed(wanted, describe_tensor(saved->path, place),
                 is_like_parameter ? placement : Placement{shape, Shard::whole()});
      filled.push_back(lists.take(slot, std::move(place)));
      if (number) filled.back().as = Filled::As::number;
    }
    for (const auto& element : lists.rest()) {
      load_.missing(at + path_text(element));
      is_usable = false;
    }
    for (const auto& one : filled) {
      if (one.as != Filled::As::element) next.set(one.path, IValue());
    }
    if (const auto* states = now_.find(kState); states != nullptr && !load_.is_partial()) {
      if (const auto* now = states->find(state_keys_.key(name))) {
        now->for_each([&](const ArchivePath& slot, const IValue&) {
          if (next.find_value(slot) == nullptr && misfits.tensors().empty()) load_.missing(at + path_text(slot));
        });
      }
    }
    // State that fits in part is of no use: moments of before would go on with the step count of the checkpoint.
    const bool fits = is_usable && misfits.tensors().empty();
    for (const auto& tensor : (fits ? wanted : misfits).tensors()) load_.state().add(tensor);
    if (!fits) return;
    next.for_each([&](const ArchivePath& slot, const IValue& value) {
      restored_->tree.set(state_keys_.path(name, slot), value);
    });
    for (auto& one : filled) {
      one.path = state_keys_.path(name, one.path);
      restored_->filled.push_back(std::move(one));
    }
  }

  void read_others() {
    const auto at = view_.at().at(kArchive) + "/";
    ArchiveTree next;
    Lists lists;
    for (const auto& [path, text] : member(kOthers).items()) {
      if (load_.selects(at + path)) add_value(next, lists, path_keys(path), text, at + path);
    }
    const auto& groups = view_.optimizer().param_groups();
    const bool has_parameter = !groups.empty() && !groups[0].params().empty();
    const auto device = has_parameter ? groups[0].params()[0].device() : torch::Device(torch::kCPU);
    for (const auto& [path, saved] : others_) {
      const auto dtype = dtype_of(path, *saved);
      if (!load_.fits(saved->dtype, dtype)) {
        load_.state().add(expectation(saved->path, dtype, saved->shape));
        continue;
      }
      auto place = allocate(type_to_make(saved->path, dtype), saved->shape, device);
      load_.state().add(describe_tensor(saved->path, place));
      restored_->filled.push_back(lists.take(path, std::move(place)));
      if (restored_->filled.back().as != Filled::As::element) next.set(path, IValue());
    }
    for (const auto& element : lists.rest()) load_.missing(at + path_text(element));
    next.for_each([&](const ArchivePath& path, const IValue& value) { restored_->tree.set(path, value); });
    now_.for_each([&](const ArchivePath& path, const IValue& value) {
      const bool is_option = group_of_option(path, keys_.size()) && !is_tensor(value) && !is_tensor_list(value);
      const bool is_other = !is_option && !is_list_of_parameters(path) && !state_keys_.is_of_no_group(path) &&
                            state_keys_.parameter(path) == nullptr;
      if (is_other && next.find_value(path) == nullptr && !load_.is_partial()) load_.missing(at + path_text(path));
    });
  }

  // A value of the document. False if it cannot be read.
  bool add_value(ArchiveTree& tree, Lists& lists, const ArchivePath& path, const json& text, const std::string& shown) {
    if (const auto size = size_of_list(text)) {
      tree.set(path, lists.add(path, *size));
    } else if (auto value = value_of_json(text)) {
      tree.set(path, std::move(*value));
    } else {
      load_.problem(fmt::format("{}: the value of {} cannot be read", where_, shown));
      return false;
    }
    return true;
  }

  // That of the tensor that the optimizer has now, or else as saved.
  [[nodiscard]] DType dtype_of(const ArchivePath& path, const TensorDescription& saved) const {
    const auto* now = now_.find_value(path);
    return now != nullptr && is_tensor(*now) ? to_dtype(now->toTensor().scalar_type()) : saved.dtype;
  }

  [[nodiscard]] const json& member(const char* name) const {
    static const json nothing = json::object();
    return document_.contains(name) && document_[name].is_object() ? document_[name] : nothing;
  }

  // Tensors of no dimensions are on the host, as LibTorch has the numbers of a state.
  static torch::Tensor allocate(torch::ScalarType type, const Shape& shape, const torch::Device& device) {
    std::vector<std::int64_t> sizes;
    for (const auto size : shape) sizes.push_back(narrow<std::int64_t>(size));
    return torch::empty(sizes, torch::dtype(type).device(shape.empty() ? torch::Device(torch::kCPU) : device));
  }

  LoadBuilder& load_;
  const OptimizerView& view_;
  const GroupKeys& keys_;
  const json& document_;
  std::string where_;
  const ArchiveTree now_;  // what the optimizer saves before the load
  StateKeys state_keys_;
  std::map<std::string, SavedTensors> slots_;                  // by parameter
  std::map<std::string, std::map<std::string, json>> values_;  // by parameter and slot
  SavedTensors others_;
  std::shared_ptr<RestoredArchive> restored_ = std::make_shared<RestoredArchive>();
};

}  // namespace

void prepare_archived(LoadBuilder& load, const OptimizerView& view, const GroupKeys& keys, const json& document) {
  auto& optimizer = view.optimizer();
  // The options are compared with those that the optimizer saves, below.
  const auto parsed = parse_param_groups(view.at().at(kParamGroupsKey), document, ArchivedClass(optimizer), optimizer,
                                         keys, group_match(load, view), false,
                                         [&load](const std::string& key) { return load.key_here(key); });
  if (!is_usable(load, parsed)) return;
  const c10::InferenceMode normal_mode(false);
  const torch::NoGradGuard no_grad;
  const auto restored = ArchiveReader(load, view, keys, document).read();
  load.want_whole(view.at().section());
  load.on_commit([&optimizer, keys, restored] { install(optimizer, keys, *restored); });
}

}  // namespace muster::torch_adapter
