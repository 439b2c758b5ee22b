#include "torch/archive_slots.hpp"

#include "torch/param_state.hpp"

namespace muster::torch_adapter {

using c10::IValue;
using nlohmann::json;
const char* number_kind(const IValue& value) {
  if (value.isInt()) return "int";
  if (value.isDouble()) return "float";
  if (value.isBool()) return "bool";
  return nullptr;
}
torch::Tensor tensor_of_number(const IValue& value) {
  if (value.isInt()) return torch::tensor(value.toInt(), torch::kInt64);
  if (value.isDouble()) return torch::tensor(value.toDouble(), torch::kFloat64);
  return torch::tensor(value.toBool(), torch::kBool);
}
std::optional<torch::ScalarType> type_of_number(const std::string& kind) {
  if (kind == "int") return torch::kInt64;
  if (kind == "float") return torch::kFloat64;
  if (kind == "bool") return torch::kBool;
  return std::nullopt;
}
IValue number_of_tensor(const torch::Tensor& tensor) {
  if (tensor.scalar_type() == torch::kInt64) return {tensor.item<std::int64_t>()};
  if (tensor.scalar_type() == torch::kFloat64) return {tensor.item<double>()};
  return {tensor.item<bool>()};
}

json list_json(std::size_t size) { return {{"type", "List[Tensor]"}, {"value", size}}; }
std::optional<std::size_t> size_of_list(const json& value) {
  if (!value.is_object() || value.value("type", json()) != "List[Tensor]" || !value.contains("value") ||
      !value["value"].is_number_unsigned()) {
    return std::nullopt;
  }
  return value["value"].get<std::size_t>();
}
ArchivePath element_path(ArchivePath list, std::size_t i) {
  list.back() = list_slot(list.back(), i);
  return list;
}

}  // namespace muster::torch_adapter
