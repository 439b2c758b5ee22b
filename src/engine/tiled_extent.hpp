#pragma once
// An extent of a dataset in tiles as HDF5 wants it: elements in the dataset's row-major order, without padding.

#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "h5/handle.hpp"
#include "model/layout.hpp"
#include "model/shard_boxes.hpp"
#include "model/storage_order.hpp"

namespace muster::engine {

class TiledExtent {
 public:
  // Extents of datasets in tiles begin and end between elements.
  TiledExtent(const Dataset& dataset, const Extent& extent);

  [[nodiscard]] std::uint64_t elements() const { return elements_; }
  // Makes the extent's elements the selection of the dataset's dataspace.
  void select(const h5::Dataspace& space) const;
  // The bytes, which come in the file's order, in the order in which HDF5 takes them for this selection. Valid as long
  // as this.
  std::span<const std::byte> row_major(std::span<const std::byte> in_file_order);

 private:
  StorageOrder order_;
  ElementRange range_;
  std::uint64_t item_bytes_;
  std::uint64_t elements_ = 0;
  std::vector<StorageRun> runs_;  // of the whole tensor, by their place in it
  Bytes bytes_;
};

}  // namespace muster::engine
