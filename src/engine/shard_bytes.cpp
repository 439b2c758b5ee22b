#include "engine/shard_bytes.hpp"

#include <muster/error.hpp>

namespace muster::engine {

std::span<const std::byte> ExtentBytes::get(const Layout& layout, const LocalShards& shards, const Extent& extent) {
  const auto& dataset = layout.datasets[extent.dataset];
  const auto& shard = shards[extent.dataset];
  const auto in_dataset = extent.offset - dataset.offset;
  if (shard.memory == nullptr || in_dataset < shard.first_byte ||
      in_dataset + extent.bytes > shard.first_byte + shard.bytes) {
    throw Error(ErrorKind::internal, "this rank was to write bytes of " + dataset.path + " that it does not hold");
  }
  const auto in_shard = in_dataset - shard.first_byte;
  if (shard.memory->data != nullptr) return {shard.memory->data + in_shard, extent.bytes};
  buffer_.resize(kMaxExtentBytes);
  const std::span part(buffer_.data(), extent.bytes);
  shard.memory->read(in_shard, part);
  return part;
}

}  // namespace muster::engine
