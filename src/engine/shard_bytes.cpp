#include "engine/shard_bytes.hpp"

#include <cstring>
#include <muster/error.hpp>

namespace muster::engine {

ExtentSource::ExtentSource(const Layout& layout, const LocalShards& shards, const Extent& extent) {
  const auto& dataset = layout.datasets[extent.dataset];
  const auto& shard = shards[extent.dataset];
  const auto in_dataset = extent.offset - dataset.offset;
  if (shard.memory == nullptr || in_dataset < shard.first_byte ||
      in_dataset + extent.bytes > shard.first_byte + shard.bytes) {
    throw Error(ErrorKind::internal, "this rank was to write bytes of " + dataset.path + " that it does not hold");
  }
  memory_ = shard.memory;
  in_shard_ = in_dataset - shard.first_byte;
}

void ExtentSource::read(std::uint64_t first, std::span<std::byte> to) const {
  if (in_memory()) {
    std::memcpy(to.data(), data() + first, to.size());
  } else {
    memory_->read(in_shard_ + first, to);
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
