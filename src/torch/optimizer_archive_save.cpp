#include <fmt/format.h>

#include <muster/error.hpp>
#include <utility>

#include "base/exact_json.hpp"
#include "base/narrow.hpp"
#include "torch/archive_layout.hpp"
#include "torch/archive_slots.hpp"
#include "torch/optimizer_archive.hpp"
#include "torch/param_state.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

using c10::IValue;
using nlohmann::json;
// What ranks know of the slots of their parameters.
struct SlotLists {
  std::map<std::string, std::string> kinds;                   // by slot
  std::map<std::string, std::map<std::string, json>> values;  // by parameter and slot

  void add_kind(const std::string& slot, const std::string& kind) {
    auto& known = kinds.emplace(slot, kind).first->second;
    if (known == kind) return;
    const auto is_any_tensor = [](const std::string& one) { return one == kLikeParameter || one == kTensor; };
    if (!is_any_tensor(known) || !is_any_tensor(kind)) {
      throw Error(ErrorKind::usage, fmt::format("the slot {} of the optimizer is of the kind {} for some parameters "
                                                "and {} for others; specialise muster::OptimizerTraits for it",
                                                slot, known, kind));
    }
    known = kTensor;
  }
  void put_into(json& document) const {
    document[kSlots] = kinds;
    if (!values.empty()) document[kValues] = values;
  }
};

// Adds what an optimizer's archive has to a state, and says the rest in its document.
class ArchiveWriter {
 public:
  ArchiveWriter(State& state, const OptimizerView& view, const StateKeys& keys, json& document)
      : state_(state), view_(view), keys_(keys), document_(document) {}

  void operator()(const ArchivePath& path, const IValue& value) {
    if (const auto* at = keys_.parameter(path)) {
      add_slot(*at, slot_of(path), value);
    } else if (const auto group = group_of_option(path, document_["groups"].size());
               group && !is_tensor(value) && !is_tensor_list(value)) {
      document_["groups"][*group][path.back()] = required(option_json(value), path, value);
    } else if (!is_list_of_parameters(path) && !keys_.is_of_no_group(path)) {
      add_other(path, value);
    }
  }
  [[nodiscard]] const SlotLists& slots() const { return slots_; }

 private:
  void add_slot(const Position& at, const ArchivePath& slot, const IValue& value) {
    const auto& name = keys_.name(at);
    const auto& parameter = view_.optimizer().param_groups()[at.group].params()[at.index];
    if (const auto* kind = number_kind(value)) {
      slots_.add_kind(path_text(slot), kind);
      add_whole(slot_path_of(name, slot), tensor_of_number(value), parameter);
    } else if (is_tensor(value)) {
      slots_.add_kind(path_text(slot), add_tensor(slot_path_of(name, slot), value.toTensor(), parameter));
    } else if (is_tensor_list(value)) {
      const auto& list = value.toListRef();
      for (std::size_t i = 0; i < list.size(); ++i) {
        add_tensor(slot_path_of(name, element_path(slot, i)), list[i].toTensor(), parameter);
      }
      slots_.values[name][path_text(slot)] = list_json(list.size());
    } else {
      slots_.values[name][path_text(slot)] = required(json_of_value(value), slot, value);
    }
  }

  const char* add_tensor(std::string path, const torch::Tensor& tensor, const torch::Tensor& parameter) {
    if (tensor.sizes() != parameter.sizes()) {
      add_whole(std::move(path), tensor, parameter);
      return kTensor;
    }
    add_placed(state_, describe_tensor(std::move(path), tensor), view_.optimizer_placement(parameter));
    return kLikeParameter;
  }

  void add_whole(std::string path, const torch::Tensor& tensor, const torch::Tensor& parameter) {
    auto described = describe_tensor(std::move(path), tensor);
    // Of a parameter in parts, only the ranks that have some of it have its state.
    if (view_.part(parameter) != nullptr) {
      described.description.shard = Shard::flat(0, narrow<std::uint64_t>(tensor.numel()));
    }
    state_.add(std::move(described));
  }

  void add_other(const ArchivePath& path, const IValue& value) {
    if (is_tensor(value)) {
      add_other_tensor(path, value.toTensor());
    } else if (is_tensor_list(value)) {
      const auto& list = value.toListRef();
      for (std::size_t i = 0; i < list.size(); ++i) add_other_tensor(element_path(path, i), list[i].toTensor());
      document_[kOthers][path_text(path)] = list_json(list.size());
    } else {
      document_[kOthers][path_text(path)] = required(json_of_value(value), path, value);
    }
  }

  void add_other_tensor(const ArchivePath& path, const torch::Tensor& tensor) {
    if (view_.needs_names() && tensor.dim() > 0) {
      throw Error(ErrorKind::usage,
                  fmt::format("nothing says where {}, which the save() of the optimizer writes, lies in the job's; "
                              "specialise muster::OptimizerTraits for it",
                              path_text(path)));
    }
    add_torch_tensor(state_, view_.at().at(kArchive) + "/" + path_text(path), tensor);
  }

  [[nodiscard]] std::string slot_path_of(const std::string& name, const ArchivePath& slot) const {
    return view_.at().at(name) + "/" + path_text(slot);
  }

  static json required(std::optional<json> text, const ArchivePath& path, const IValue& value) {
    if (text) return std::move(*text);
    throw Error(ErrorKind::usage, fmt::format("the save() of the optimizer writes {}, a {}, which cannot be taken "
                                              "apart; specialise muster::OptimizerTraits for it",
                                              path_text(path), value.type()->annotation_str()));
  }

  State& state_;
  const OptimizerView& view_;
  const StateKeys& keys_;
  json& document_;
  SlotLists slots_;
};

// With the parameters and slots of all ranks.
json document_of_all(const json& document, const std::vector<std::string>& contributions) {
  std::vector<std::string> groups;
  SlotLists slots;
  for (const auto& contribution : contributions) {
    const auto said = from_exact_text(contribution, kParamGroupsKey);
    groups.push_back(said.at(0).get<std::string>());
    for (const auto& [slot, kind] : said.at(1).items()) slots.add_kind(slot, kind.get<std::string>());
    for (const auto& [name, values] : said.at(2).items()) {
      for (const auto& [slot, value] : values.items()) slots.values[name].emplace(slot, value);
    }
  }
  auto joined_document = with_params_of_all(document, groups);
  slots.put_into(joined_document);
  return joined_document;
}

}  // namespace

void describe_archived(State& state, const OptimizerView& view, const GroupKeys& keys, const LeftOut& left_out) {
  const auto& optimizer = view.optimizer();
  const auto tree = saved_tree(optimizer);
  const StateKeys state_keys(tree, keys);
  Document document{
      .path = view.at().at(kParamGroupsKey),
      .value = param_groups_document(ArchivedClass(optimizer), optimizer, keys, view.model_names(), left_out)};
  ArchiveWriter writer(state, view, state_keys, document.value);
  tree.for_each([&](const ArchivePath& path, const IValue& value) { writer(path, value); });
  const auto& slots = writer.slots();
  slots.put_into(document.value);
  if (view.is_parallel()) {
    const json said{contribution_of(keys, left_out), slots.kinds, slots.values};
    document.contribution = to_exact_text(said, document.path);
    document.join = [of_rank_0 = document.value](const std::vector<std::string>& contributions) {
      return document_of_all(of_rank_0, contributions);
    };
  }
  state.add(std::move(document));
}

}  // namespace muster::torch_adapter
