#include "engine/chunk_boxes.hpp"

#include <algorithm>

#include "model/storage_order.hpp"

namespace muster::engine {

std::vector<ChunkBox> chunk_boxes(const StoredTensor& tensor, const Extent& extent) {
  const StorageOrder order(tensor.shape, tensor.chunk_shape);
  const auto item = item_bytes(tensor.dtype);
  const auto begin = (extent.offset - tensor.offset) / item;
  const auto end = begin + extent.bytes / item;
  std::vector<ChunkBox> pieces;
  for (auto first = begin; first < end;) {
    const auto chunk = order.chunk_at(first);
    const auto in_chunk = first % order.chunk_elements();
    const auto count = std::min(end - first, order.chunk_elements() - in_chunk);
    for (const auto& [whole, before] : boxes_of(Shard::flat(in_chunk, count), order.chunk_shape())) {
      auto box = whole;
      bool is_padding = false;
      for (std::size_t dim = 0; dim < box.shape.size(); ++dim) {
        const auto last = std::min(box.offset[dim] + box.shape[dim], chunk.shape[dim]);
        is_padding = is_padding || box.offset[dim] >= last;
        if (is_padding) break;
        box.shape[dim] = last - box.offset[dim];
        box.offset[dim] += chunk.offset[dim];
      }
      if (!is_padding) pieces.push_back({std::move(box), whole.shape, first - begin + before});
    }
    first += count;
  }
  return pieces;
}

}  // namespace muster::engine
