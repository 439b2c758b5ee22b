#pragma once
// In which tiles a tensor is to lie in the file, from how it is cut over the ranks. Pure.

#include <muster/state.hpp>

#include "model/shard_boxes.hpp"

namespace muster::plan {

// HDF5 wants a chunk below 4 GiB.
inline constexpr std::uint64_t kMaxTileBytes = (std::uint64_t{1} << 32) - 1;

// The largest tile of which every box that was added consists (but for the tensor's far edges): a grid of equal blocks,
// or of blocks as torch.chunk cuts them, has one tile a block. Cuts of other kinds get what divides them all (and the
// tensor, where padding would take more than a third of it), down to single elements. Tiles of kMaxTileBytes or more
// are cut further.
class Tiling {
 public:
  explicit Tiling(Shape shape) : shape_(std::move(shape)), tile_(shape_) {}
  // A box that has elements.
  void add(const Box& box);
  [[nodiscard]] Shape tile(DType dtype) const;

 private:
  Shape shape_;
  Shape tile_;
};

}  // namespace muster::plan
