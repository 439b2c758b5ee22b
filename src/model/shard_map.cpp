#include "model/shard_map.hpp"

#include <algorithm>
#include <utility>

namespace muster {

ShardMap::ShardMap(StorageOrder order, const Shard& shard, DType dtype)
    : order_(std::move(order)), boxes_(boxes_of(shard, order_.shape())), item_bytes_(item_bytes(dtype)) {}

// Elements may be cut: a small tensor begins anywhere in the file, and a buffer ends at a block of it.
ElementRange ShardMap::elements_around(std::uint64_t first_byte, std::uint64_t bytes) const {
  if (bytes == 0) return {};
  const auto first = first_byte / item_bytes_;
  const auto last = (first_byte + bytes + item_bytes_ - 1) / item_bytes_;
  return {first, last - first};
}

void ShardMap::visit_runs(std::uint64_t first_byte, std::uint64_t bytes, const Visit& visit) const {
  const auto elements = elements_around(first_byte, bytes);
  for (const auto& [box, in_shard] : boxes_) {
    order_.visit_runs(box, elements, [&](const StorageRun& run) {
      const auto begin = run.in_file * item_bytes_;
      const auto first = std::max(begin, first_byte);
      const auto last = std::min(begin + run.count * item_bytes_, first_byte + bytes);
      visit({first, (in_shard + run.in_box) * item_bytes_ + (first - begin), last - first});
    });
  }
}

bool ShardMap::touches(std::uint64_t first_byte, std::uint64_t bytes) const {
  const auto elements = elements_around(first_byte, bytes);
  return std::ranges::any_of(boxes_, [&](const auto& part) { return order_.touches(part.box, elements); });
}

}  // namespace muster
