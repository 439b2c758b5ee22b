#pragma once
// Which pipeline stage holds a tensor, guessed from its key. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::plan {

// The number of the layer that a key speaks of: its first part between dots that is a number, "model.layers.12.mlp.up"
// being of layer 12. Nothing where it has none.
std::optional<std::uint64_t> layer_of(std::string_view key);

class PipelineStages {
 public:
  // Layers 0 up to the highest that any key has go to the stages in their order and in numbers that differ by one at
  // most. Keys without a layer: those that one of the patterns (as fnmatch(3) takes them) matches to the first stage,
  // the others to the last. Which of them the model has before its layers, keys cannot tell.
  PipelineStages(const std::vector<std::string>& keys, int stages, std::vector<std::string> first_stage);

  [[nodiscard]] int stage_of(std::string_view key) const;
  [[nodiscard]] std::uint64_t layers() const { return layers_; }

 private:
  int stages_;
  std::vector<std::string> first_stage_;
  std::uint64_t layers_ = 0;
};

}  // namespace muster::plan
