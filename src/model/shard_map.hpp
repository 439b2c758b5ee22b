#pragma once
// Where the bytes of one shard lie in a tensor's part of the file.

#include <cstdint>
#include <functional>
#include <muster/state.hpp>
#include <vector>

#include "model/shard_boxes.hpp"
#include "model/storage_order.hpp"

namespace muster {

// Bytes that follow each other in the file as well as in the shard's memory.
struct ShardRun {
  std::uint64_t in_file = 0;  // counted from the tensor's first byte there
  std::uint64_t in_shard = 0;
  std::uint64_t bytes = 0;
};

class ShardMap {
 public:
  // Throws Error{usage} where the shard does not lie inside the tensor.
  ShardMap(StorageOrder order, const Shard& shard, DType dtype);

  // Calls `visit` for every run in [first_byte, first_byte + bytes) of the tensor in the file, whole or cut to it. Box
  // by box, each in file order.
  using Visit = std::function<void(const ShardRun&)>;
  void visit_runs(std::uint64_t first_byte, std::uint64_t bytes, const Visit& visit) const;
  // Some of them, of all of the tensor: box by box, each time the first run from the byte on that `visit` returned, cut
  // to what lies there. For whom the runs up to there say nothing new; takes no time for those.
  using VisitUpTo = std::function<std::uint64_t(const ShardRun&)>;
  void visit_some_runs(const VisitUpTo& visit) const;
  // Whether the tensor's part of the file has bytes that are no element's.
  [[nodiscard]] bool is_padded() const { return order_.elements() != element_count(order_.shape()); }

 private:
  [[nodiscard]] ElementRange elements_around(std::uint64_t first_byte, std::uint64_t bytes) const;
  // As bytes, cut to [first_byte, last_byte).
  [[nodiscard]] ShardRun cut(const StorageRun& run, std::uint64_t in_shard, std::uint64_t first_byte,
                             std::uint64_t last_byte) const;

  StorageOrder order_;
  std::vector<ShardBox> boxes_;
  std::uint64_t item_bytes_;
};

}  // namespace muster
