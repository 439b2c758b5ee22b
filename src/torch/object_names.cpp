#include "torch/object_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_set>

#include "load/key_selection.hpp"
#include "model/layout.hpp"
#include "torch/object_path.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

namespace {

std::string joined(const std::vector<std::string>& keys, std::size_t first) {
  std::string name;
  for (std::size_t i = first; i < keys.size(); ++i) name += (i > first ? "/" : "") + keys[i];
  return name;
}

// The name of the object that a path of a checkpoint belongs to; empty for what belongs to none. `is_list` tells
// whether a group is a list of tensors.
template <class IsList>
std::string object_of(const std::string& path, bool is_document, const IsList& is_list) {
  const auto keys = object_keys(path);
  const auto& section = keys.front();
  if (path == kUserContentPath || path == kRunPath) return {};
  if (section == "model" || section == "optimizer" || section == "scheduler") return section;
  if (keys.size() > 1) {
    if (section == "models") return "model " + keys[1];
    if (section == "optimizers") return "optimizer " + keys[1];
    if (section == "schedulers") return "scheduler " + keys[1];
    if (section == "documents") return "document " + joined(keys, 1);
    if (section == "rng") return "random generators";
  }
  const auto group = path.substr(0, path.rfind('/'));
  auto entry = keys;
  const bool in_list = is_list(group);
  if (in_list) entry.pop_back();
  const auto* kind = in_list ? "tensors" : (is_document ? "document" : "tensor");
  if (section == "tensors" && entry.size() > 1) return fmt::format("{} {}", kind, joined(entry, 1));
  if (section == "per_rank" && entry.size() > 2) return fmt::format("per-rank {} {}", kind, joined(entry, 2));
  return "object " + path;
}

}  // namespace

ObjectNames names_of(const TrainingState::Objects& objects) {
  ObjectNames names;
  for (const auto& model : objects.models) names.insert(ObjectPath("model", model.name).shown());
  for (const auto& optimizer : objects.optimizers) {
    if (optimizer.optimizer.given()) names.insert(ObjectPath("optimizer", optimizer.name).shown());
  }
  for (const auto& scheduler : objects.schedulers) names.insert(ObjectPath("scheduler", scheduler.name).shown());
  const auto add = [&](const TrainingState::Objects::Entry& entry, const char* kind) {
    names.insert(fmt::format("{}{} {}", entry.is_per_rank ? "per-rank " : "", kind, entry.name));
  };
  for (const auto& entry : objects.tensors) add(entry, "tensor");
  for (const auto& entry : objects.lists) add(entry, "tensors");
  for (const auto& entry : objects.documents) add(entry, "document");
  if (objects.rng) names.insert("random generators");
  return names;
}

ObjectNames names_of(const CheckpointContents& contents, const std::vector<std::string>& only) {
  std::unordered_set<std::string> sizes;
  for (const auto& tensor : contents.tensors) {
    if (tensor.path.ends_with("/size") && tensor.dtype == DType::int64 && tensor.shape.empty())
      sizes.insert(tensor.path);
  }
  const auto is_list = [&](const std::string& group) { return sizes.contains(group + "/size"); };
  ObjectNames names;
  const auto add = [&](const std::string& path, bool is_document) {
    if (!load::is_selected(only, path)) return;
    if (auto name = object_of(path, is_document, is_list); !name.empty()) names.insert(std::move(name));
  };
  for (const auto& tensor : contents.tensors) add(tensor.path, tensor.dtype == DType::text);
  for (const auto& [path, value] : contents.documents) {
    add(path, true);
    // Of a model whose parameters are all left out in favour of their masters there may be nothing else.
    if (!load::is_selected(only, path) || !path.ends_with(kParamGroupsKey) || !value.is_object()) continue;
    for (const auto& model : models_of(value)) names.insert("model " + model);
    if (value.contains("left_out") && models_of(value).empty()) names.insert("model");
  }
  return names;
}

std::string both(const ObjectNames& in_checkpoint, const ObjectNames& in_program) {
  const auto list = [](const ObjectNames& names) {
    return names.empty() ? std::string("nothing") : fmt::format("{}", fmt::join(names, ", "));
  };
  return fmt::format("the checkpoint has {}; the program has {}", list(in_checkpoint), list(in_program));
}

}  // namespace muster::torch_adapter
