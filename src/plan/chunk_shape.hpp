#pragma once
// In which chunks a tensor is to lie in the file, from how it is cut over the ranks. Pure.

#include <muster/state.hpp>

#include "model/shard_boxes.hpp"

namespace muster::plan {

// HDF5 wants a chunk below 4 GiB.
inline constexpr std::uint64_t kMaxChunkBytes = (std::uint64_t{1} << 32) - 1;

// The largest chunk of which every box that was added consists (but for the tensor's far edges): a grid of equal
// blocks, or of blocks as torch.chunk cuts them, has one chunk a block. Cuts of other kinds get what divides them all
// (and the tensor, where padding would take more than a third of it), down to single elements. Chunks of kMaxChunkBytes
// or more are cut further.
class ChunkShape {
 public:
  explicit ChunkShape(Shape shape) : shape_(std::move(shape)), chunk_shape_(shape_) {}
  // A box that has elements.
  void add(const Box& box);
  [[nodiscard]] Shape shape(DType dtype) const;

 private:
  Shape shape_;
  Shape chunk_shape_;
};

}  // namespace muster::plan
