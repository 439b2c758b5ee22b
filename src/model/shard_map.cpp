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

ShardRun ShardMap::cut(const StorageRun& run, std::uint64_t in_shard, std::uint64_t first_byte,
                       std::uint64_t last_byte) const {
  const auto begin = run.in_file * item_bytes_;
  const auto first = std::max(begin, first_byte);
  const auto last = std::min(begin + run.count * item_bytes_, last_byte);
  return {first, (in_shard + run.in_box) * item_bytes_ + (first - begin), last - first};
}

void ShardMap::visit_runs(std::uint64_t first_byte, std::uint64_t bytes, const Visit& visit) const {
  const auto elements = elements_around(first_byte, bytes);
  for (const auto& [box, in_shard] : boxes_) {
    order_.visit_runs(box, elements,
                      [&](const StorageRun& run) { visit(cut(run, in_shard, first_byte, first_byte + bytes)); });
  }
}

void ShardMap::visit_some_runs(const VisitUpTo& visit) const {
  const auto end = order_.elements() * item_bytes_;
  for (const auto& [box, in_shard] : boxes_) {
    for (std::uint64_t from = 0; from < end;) {
      const auto run = order_.first_run(box, elements_around(from, end - from));
      if (!run) break;
      from = visit(cut(*run, in_shard, from, end));
    }
  }
}

}  // namespace muster
