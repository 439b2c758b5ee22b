#pragma once
// What the `save` of an optimizer wrote, as a tree of values, and values of it as JSON. Local.

#include <torch/torch.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace muster::torch_adapter {

struct ArchiveTree;

using ArchivePath = std::vector<std::string>;  // the keys of nested archives, then the key of a value

// An archive: its values and the archives in it, by key.
struct ArchiveTree {
  std::map<std::string, c10::IValue> values;
  std::map<std::string, ArchiveTree> nested;

  [[nodiscard]] bool empty() const { return values.empty() && nested.empty(); }
  // Null if there is none.
  [[nodiscard]] const ArchiveTree* find(const std::string& key) const;
  [[nodiscard]] const c10::IValue* find_value(const ArchivePath& path) const;
  void set(const ArchivePath& path, c10::IValue value);
  void for_each(const std::function<void(const ArchivePath& path, const c10::IValue& value)>& visit) const;
};

// Copies of the tensors, in host memory.
ArchiveTree tree_of(torch::serialize::OutputArchive& archive);
// The tree is consumed: its tensors are released when they are copied into the archive.
torch::serialize::InputArchive archive_of(ArchiveTree&& tree);

bool is_tensor(const c10::IValue& value);       // a tensor that is defined
bool is_tensor_list(const c10::IValue& value);  // all of whose tensors are defined

// A number, bool, text or None is JSON of the same kind; {"type": "Tuple[float, int]", "value": [...]} says the type of
// any other value. Nothing for values that have no JSON: tensors and objects.
std::optional<nlohmann::json> json_of_value(const c10::IValue& value);
// Nothing if it is no such JSON.
std::optional<c10::IValue> value_of_json(const nlohmann::json& json);

// The same with the type told by `like`: a list or tuple is an array.
std::optional<nlohmann::json> option_json(const c10::IValue& value);
std::optional<c10::IValue> option_value(const nlohmann::json& json, const c10::IValue& like);

}  // namespace muster::torch_adapter
