#pragma once
// Numbers and lists of tensors in an optimizer's archive, as tensors of a checkpoint and JSON in its document. Local.

#include <torch/torch.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "torch/archive_tree.hpp"

namespace muster::torch_adapter {

// The kind of a slot that is a number; null for other values.
const char* number_kind(const c10::IValue& value);
torch::Tensor tensor_of_number(const c10::IValue& value);
// Nothing if it is no kind of a number.
std::optional<torch::ScalarType> type_of_number(const std::string& kind);
c10::IValue number_of_tensor(const torch::Tensor& tensor);

// A list of tensors is described by its size.
nlohmann::json list_json(std::size_t size);
// Nothing if it describes no list.
std::optional<std::size_t> size_of_list(const nlohmann::json& value);
// The path in the checkpoint of an element of the list with this path.
ArchivePath element_path(ArchivePath list, std::size_t i);

}  // namespace muster::torch_adapter
