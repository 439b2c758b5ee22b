#pragma once
// The archive that an optimizer loads from a checkpoint. Local.

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "torch/archive_tree.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// A tensor that a load fills, and where it goes in the archive then.
struct Filled {
  ArchivePath path;
  torch::Tensor tensor;
  enum class As : std::uint8_t { tensor, number, element };
  As as = As::tensor;
  std::size_t index = 0;  // of an element of the list at `path`
};
// All that a commit needs.
struct RestoredArchive {
  ArchiveTree tree;  // with what is not filled
  std::vector<Filled> filled;
  bool replaces_state = false;
  // One a group; null if its options are restored by the class's own load().
  std::vector<std::unique_ptr<torch::serialize::InputArchive>> options;
};

// Gives it to the optimizer, when the tensors are filled. Throws Error{internal} if the optimizer does not save then
// what it loaded.
void install(torch::optim::Optimizer& optimizer, const GroupKeys& keys, RestoredArchive& restored);

}  // namespace muster::torch_adapter
