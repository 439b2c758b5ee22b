#include "engine/tiled_extent.hpp"

#include <algorithm>
#include <cstring>

#include "h5/selection.hpp"

namespace muster::engine {

TiledExtent::TiledExtent(const Dataset& dataset, const Extent& extent)
    : order_(dataset.shape, dataset.tile), item_bytes_(item_bytes(dataset.dtype)) {
  range_ = {(extent.offset - dataset.offset) / item_bytes_, extent.bytes / item_bytes_};
  const Box all{Shape(dataset.shape.size(), 0), dataset.shape};
  order_.visit_runs(all, range_, [&](const StorageRun& run) {
    runs_.push_back(run);
    elements_ += run.count;
  });
  std::ranges::sort(runs_, {}, &StorageRun::in_box);
}

void TiledExtent::select(const h5::Dataspace& space) const {
  auto how = H5S_SELECT_SET;
  for (auto first = range_.first; first < range_.first + range_.count;) {
    const auto tile = order_.tile_at(first);
    const auto in_tile = first % order_.tile_elements();
    const auto count = std::min(range_.first + range_.count - first, order_.tile_elements() - in_tile);
    for (const auto& [box, unused] : boxes_of(Shard::flat(in_tile, count), order_.tile())) {
      auto part = box;
      bool is_padding = false;
      for (std::size_t dim = 0; dim < part.shape.size(); ++dim) {
        // The tile sticks out beyond the tensor here.
        const auto end = std::min(part.offset[dim] + part.shape[dim], tile.shape[dim]);
        is_padding = is_padding || part.offset[dim] >= end;
        part.shape[dim] = end - part.offset[dim];
        part.offset[dim] += tile.offset[dim];
      }
      if (is_padding) continue;
      h5::select_box(space, part, how);
      how = H5S_SELECT_OR;
    }
    first += count;
  }
  if (elements_ == 0) h5::check(H5Sselect_none(space.get()), "H5Sselect_none");
}

std::span<const std::byte> TiledExtent::row_major(std::span<const std::byte> in_file_order) {
  bytes_.resize(elements_ * item_bytes_);
  std::size_t done = 0;
  for (const auto& run : runs_) {
    const auto bytes = run.count * item_bytes_;
    std::memcpy(bytes_.data() + done, in_file_order.data() + (run.in_file - range_.first) * item_bytes_, bytes);
    done += bytes;
  }
  return bytes_;
}

}  // namespace muster::engine
