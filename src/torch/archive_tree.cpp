#include "torch/archive_tree.hpp"

#include <torch/csrc/jit/frontend/script_type_parser.h>

#include <cstdint>
#include <limits>
#include <utility>

namespace muster::torch_adapter {

namespace {

using c10::IValue;
using c10::TypeKind;
using nlohmann::json;

std::optional<json> array_of(const std::vector<IValue>& values);

// Without the types of lists and tuples.
std::optional<json> plain_json(const IValue& value) {
  if (value.isNone() || (value.isTensor() && !value.toTensor().defined())) return json(nullptr);
  if (value.isBool()) return json(value.toBool());
  if (value.isInt()) return json(value.toInt());
  if (value.isDouble()) return json(value.toDouble());
  if (value.isString()) return json(value.toStringRef());
  if (value.isList()) return array_of(value.toListRef().vec());
  if (value.isTuple()) {
    const auto& elements = value.toTupleRef().elements();
    return array_of(std::vector<IValue>(elements.begin(), elements.end()));
  }
  if (value.isGenericDict()) {
    std::vector<IValue> items;
    for (const auto& item : value.toGenericDict()) items.insert(items.end(), {item.key(), item.value()});
    return array_of(items);
  }
  return std::nullopt;
}

std::optional<json> array_of(const std::vector<IValue>& values) {
  auto array = json::array();
  for (const auto& value : values) {
    auto element = plain_json(value);
    if (!element) return std::nullopt;
    array.push_back(std::move(*element));
  }
  return array;
}

bool is_evident(const IValue& value) {
  return value.isNone() || value.isBool() || value.isInt() || value.isDouble() || value.isString();
}

// A number, bool, text or None.
std::optional<IValue> evident_value(const json& value) {
  if (value.is_null()) return IValue();
  if (value.is_boolean()) return IValue(value.get<bool>());
  if (value.is_number_float()) return IValue(value.get<double>());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) return {};
  if (value.is_number_integer()) return IValue(value.get<std::int64_t>());
  if (value.is_string()) return IValue(value.get<std::string>());
  return std::nullopt;
}

std::optional<IValue> typed_value(const json& value, const c10::Type& type);

std::optional<std::vector<IValue>> typed_elements(const json& values, const c10::Type& type) {
  if (!values.is_array()) return std::nullopt;
  std::vector<IValue> elements;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto kind = type.kind();
    const auto types = type.containedTypes();
    if (kind == TypeKind::TupleType && types.size() != values.size()) return std::nullopt;
    // A dictionary is a list of keys and values in turn.
    auto element = typed_value(values[i], *types[kind == TypeKind::TupleType ? i : i % types.size()]);
    if (!element) return std::nullopt;
    elements.push_back(std::move(*element));
  }
  return elements;
}

std::optional<IValue> typed_value(const json& value, const c10::Type& type) {
  const auto kind = type.kind();
  if (kind == TypeKind::OptionalType)
    return value.is_null() ? std::optional(IValue()) : typed_value(value, *type.containedTypes()[0]);
  if (kind == TypeKind::TensorType) return value.is_null() ? std::optional(IValue(at::Tensor())) : std::nullopt;
  if (kind != TypeKind::ListType && kind != TypeKind::TupleType && kind != TypeKind::DictType) {
    auto found = evident_value(value);
    if (!found || found->type()->kind() != kind) return std::nullopt;
    return found;
  }
  auto elements = typed_elements(value, type);
  if (!elements) return std::nullopt;
  if (kind == TypeKind::TupleType) return IValue(c10::ivalue::Tuple::create(std::move(*elements)));
  const auto types = type.containedTypes();
  if (kind == TypeKind::ListType) {
    c10::impl::GenericList list(types[0]);
    for (auto& element : *elements) list.push_back(std::move(element));
    return IValue(std::move(list));
  }
  c10::impl::GenericDict dictionary(types[0], types[1]);
  if (elements->size() % 2 != 0) return std::nullopt;
  for (std::size_t i = 0; i < elements->size(); i += 2) {
    dictionary.insert(std::move((*elements)[i]), std::move((*elements)[i + 1]));
  }
  return IValue(std::move(dictionary));
}

ArchiveTree tree_of(torch::serialize::InputArchive& archive) {
  ArchiveTree tree;
  for (const auto& key : archive.keys()) {
    IValue value;
    archive.read(key, value);
    if (value.isModule()) {
      torch::serialize::InputArchive nested;
      archive.read(key, nested);
      tree.nested.emplace(key, tree_of(nested));
    } else {
      tree.values.emplace(key, std::move(value));
    }
  }
  return tree;
}

void write(torch::serialize::OutputArchive& archive, const ArchiveTree& tree) {
  for (const auto& [key, value] : tree.values) {
    if (is_tensor(value)) {
      archive.write(key, value.toTensor(), true);
    } else {
      archive.write(key, value);
    }
  }
  for (const auto& [key, inner] : tree.nested) {
    torch::serialize::OutputArchive nested(archive.compilation_unit());
    write(nested, inner);
    archive.write(key, nested);
  }
}

std::string bytes_of(torch::serialize::OutputArchive& archive) {
  std::string bytes;
  archive.save_to([&bytes](const void* data, std::size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  return bytes;
}

void visit_all(const ArchiveTree& tree, ArchivePath& path,
               const std::function<void(const ArchivePath& path, const IValue& value)>& visit) {
  for (const auto& [key, value] : tree.values) {
    path.push_back(key);
    visit(path, value);
    path.pop_back();
  }
  for (const auto& [key, inner] : tree.nested) {
    path.push_back(key);
    visit_all(inner, path, visit);
    path.pop_back();
  }
}

}  // namespace

const ArchiveTree* ArchiveTree::find(const std::string& key) const {
  const auto found = nested.find(key);
  return found == nested.end() ? nullptr : &found->second;
}

const IValue* ArchiveTree::find_value(const ArchivePath& path) const {
  const auto* at = this;
  for (std::size_t i = 0; at != nullptr && i + 1 < path.size(); ++i) at = at->find(path[i]);
  if (at == nullptr || path.empty()) return nullptr;
  const auto found = at->values.find(path.back());
  return found == at->values.end() ? nullptr : &found->second;
}

void ArchiveTree::set(const ArchivePath& path, IValue value) {
  auto* at = this;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) at = &at->nested[path[i]];
  at->values[path.back()] = std::move(value);
}

void ArchiveTree::for_each(const std::function<void(const ArchivePath& path, const IValue& value)>& visit) const {
  ArchivePath path;
  visit_all(*this, path, visit);
}

ArchiveTree tree_of(torch::serialize::OutputArchive& archive) {
  torch::serialize::InputArchive read;
  const auto bytes = bytes_of(archive);
  read.load_from(bytes.data(), bytes.size(), torch::Device(torch::kCPU));
  return tree_of(read);
}

torch::serialize::InputArchive archive_of(ArchiveTree&& tree) {
  std::string bytes;
  {
    const auto consumed = std::move(tree);
    torch::serialize::OutputArchive written;
    write(written, consumed);
    bytes = bytes_of(written);
  }
  torch::serialize::InputArchive archive;
  archive.load_from(bytes.data(), bytes.size());
  return archive;
}

bool is_tensor(const IValue& value) { return value.isTensor() && value.toTensor().defined(); }

bool is_tensor_list(const IValue& value) {
  if (!value.isTensorList()) return false;
  for (const auto& element : value.toListRef()) {
    if (!is_tensor(element)) return false;
  }
  return true;
}

std::optional<json> json_of_value(const IValue& value) {
  auto plain = plain_json(value);
  if (!plain || is_evident(value)) return plain;
  return json{{"type", value.type()->annotation_str()}, {"value", std::move(*plain)}};
}

std::optional<IValue> value_of_json(const json& value) {
  if (!value.is_object()) return evident_value(value);
  if (!value.contains("value") || !value.contains("type") || !value["type"].is_string()) return std::nullopt;
  try {
    const auto type = torch::jit::ScriptTypeParser().parseType(value["type"].get<std::string>());
    return typed_value(value["value"], *type);
  } catch (const std::exception&) {  // no type
    return std::nullopt;
  }
}

std::optional<json> option_json(const IValue& value) { return plain_json(value); }

std::optional<IValue> option_value(const json& value, const IValue& like) {
  if (like.isList() || like.isTuple() || like.isGenericDict()) {
    return value.is_null() ? std::optional(IValue()) : typed_value(value, *like.type());
  }
  auto found = evident_value(value);
  // An option that is not set has no type.
  if (!found || found->isNone() || like.isNone() || like.isTensor()) return found;
  return found->type()->kind() == like.type()->kind() ? found : std::nullopt;
}

}  // namespace muster::torch_adapter
