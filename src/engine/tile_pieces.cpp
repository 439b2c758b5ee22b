#include "engine/tile_pieces.hpp"

#include <algorithm>

#include "model/storage_order.hpp"

namespace muster::engine {

std::vector<TilePiece> tile_pieces(const Dataset& dataset, const Extent& extent) {
  const StorageOrder order(dataset.shape, dataset.tile);
  const auto item = item_bytes(dataset.dtype);
  const auto begin = (extent.offset - dataset.offset) / item;
  const auto end = begin + extent.bytes / item;
  std::vector<TilePiece> pieces;
  for (auto first = begin; first < end;) {
    const auto tile = order.tile_at(first);
    const auto in_tile = first % order.tile_elements();
    const auto count = std::min(end - first, order.tile_elements() - in_tile);
    for (const auto& [whole, before] : boxes_of(Shard::flat(in_tile, count), order.tile())) {
      auto box = whole;
      bool is_padding = false;
      for (std::size_t dim = 0; dim < box.shape.size(); ++dim) {
        const auto last = std::min(box.offset[dim] + box.shape[dim], tile.shape[dim]);
        is_padding = is_padding || box.offset[dim] >= last;
        if (is_padding) break;
        box.shape[dim] = last - box.offset[dim];
        box.offset[dim] += tile.offset[dim];
      }
      if (!is_padding) pieces.push_back({std::move(box), whole.shape, first - begin + before});
    }
    first += count;
  }
  return pieces;
}

}  // namespace muster::engine
