#include <muster/checkpoint.hpp>

namespace muster {

const TensorDescription* CheckpointContents::find_tensor(const std::string& path) const {
  for (const auto& tensor : tensors) {
    if (tensor.path == path) return &tensor;
  }
  return nullptr;
}

const nlohmann::json* CheckpointContents::find_document(const std::string& path) const {
  const auto found = documents.find(path);
  return found == documents.end() ? nullptr : &found->second;
}

}  // namespace muster
