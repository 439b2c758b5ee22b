#include "engine/shard_bytes.hpp"

#include <algorithm>
#include <cstring>
#include <muster/error.hpp>

namespace muster::engine {

ExtentSource::ExtentSource(const Layout& layout, const LocalShards& shards, const Extent& extent) {
  const auto& tensor = layout.tensors[extent.tensor];
  const auto& shard = shards[extent.tensor];
  const auto in_tensor = extent.offset - tensor.offset;
  const bool in_range = in_tensor >= shard.offset && in_tensor + extent.bytes <= shard.end();
  if (shard.memory == nullptr || (!shard.map && !in_range)) {
    throw Error(ErrorKind::internal, "this rank was to write bytes of " + tensor.path + " that it does not hold");
  }
  memory_ = shard.memory;
  map_ = shard.map.get();
  first_ = map_ != nullptr ? in_tensor : in_tensor - shard.offset;
}

void ExtentSource::read(std::uint64_t first, std::span<std::byte> to) const {
  if (map_ == nullptr) {
    read_shard(first_ + first, to);
    return;
  }
  if (map_->is_padded()) std::ranges::fill(to, std::byte{0});
  std::uint64_t done = 0;
  map_->visit_runs(first_ + first, to.size(), [&](const ShardRun& run) {
    read_shard(run.in_shard, to.subspan(run.in_file - (first_ + first), run.bytes));
    done += run.bytes;
  });
  if (done != to.size() && !map_->is_padded()) {
    throw Error(ErrorKind::internal, "this rank was to write bytes of a tensor in chunks that it does not hold");
  }
}

void ExtentSource::read_shard(std::uint64_t first, std::span<std::byte> to) const {
  if (memory_->data != nullptr) {
    std::memcpy(to.data(), memory_->data + first, to.size());
  } else {
    memory_->read(first, to);
  }
}

std::span<const std::byte> ExtentBytes::get(const Layout& layout, const LocalShards& shards, const Extent& extent) {
  const ExtentSource source(layout, shards, extent);
  if (source.in_memory()) return {source.data(), extent.bytes};
  buffer_.resize(kMaxExtentBytes);
  const std::span part(buffer_.data(), extent.bytes);
  source.read(0, part);
  return part;
}

}  // namespace muster::engine
