#pragma once
// An extent of a dataset in chunks as boxes, which is how HDF5 takes it.

#include <vector>

#include "model/layout.hpp"
#include "model/shard_boxes.hpp"

namespace muster::engine {

// Elements of one chunk that are a box of it, and lie in the extent as a box that is packed row-major.
struct ChunkBox {
  Box box;                  // of the tensor
  Shape in_extent;          // what of the box lies in the extent: larger where the chunk sticks out beyond the tensor
  std::uint64_t first = 0;  // element of the extent
};

// All of an extent but padding, in the file's order.
std::vector<ChunkBox> chunk_boxes(const StoredTensor& tensor, const Extent& extent);

}  // namespace muster::engine
