#pragma once
// The bytes of this rank's shards, by dataset of the layout.

#include <cstdint>
#include <memory>
#include <muster/state.hpp>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "model/layout.hpp"
#include "model/shard_map.hpp"

namespace muster::engine {

// What this rank holds of one tensor: the bytes of `memory` are the range of the tensor, or where the tensor lies in
// chunks a map tells what is where.
struct LocalShard : ByteRange {
  const TensorMemory* memory = nullptr;  // null where this rank holds nothing of it
  std::shared_ptr<const ShardMap> map = {};
};

// One entry a tensor of the layout.
using LocalShards = std::vector<LocalShard>;

// The bytes of one extent, wherever this rank has them.
class ExtentSource {
 public:
  // Throws Error{internal} where this rank does not hold the extent.
  ExtentSource(const Layout& layout, const LocalShards& shards, const Extent& extent);
  // Whether it is one run of bytes in memory.
  [[nodiscard]] bool in_memory() const { return map_ == nullptr && memory_->data != nullptr; }
  // All of it, where it is.
  [[nodiscard]] const std::byte* data() const { return memory_->data + first_; }
  // Whether a range of it may well be copied piece by piece; a read function may start a transfer from a device each
  // time.
  [[nodiscard]] bool is_divisible() const { return memory_->data != nullptr; }
  // Copies bytes of the extent from `first` on, zeros where chunks are padded; throws whatever the shard's own read
  // function throws.
  void read(std::uint64_t first, std::span<std::byte> to) const;

 private:
  void read_shard(std::uint64_t first, std::span<std::byte> to) const;

  const TensorMemory* memory_ = nullptr;
  const ShardMap* map_ = nullptr;
  std::uint64_t first_ = 0;  // byte of the extent in the shard; with a map, in the tensor
};

// Gives extents as contiguous host memory: in place where the shard is that already, else through one buffer of
// kMaxExtentBytes, allocated when first needed.
class ExtentBytes {
 public:
  // Valid until the next call. Errors of ExtentSource.
  std::span<const std::byte> get(const Layout& layout, const LocalShards& shards, const Extent& extent);

 private:
  Bytes buffer_;
};

}  // namespace muster::engine
