#pragma once
// The bytes of this rank's shards, by dataset of the layout.

#include <cstdint>
#include <muster/state.hpp>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "model/layout.hpp"

namespace muster::engine {

// What this rank holds of one dataset: `memory`'s first byte is byte `first_byte` of the dataset.
struct LocalShard {
  const TensorMemory* memory = nullptr;  // null where this rank holds nothing of it
  std::uint64_t first_byte = 0;
  std::uint64_t bytes = 0;
};

// One entry a dataset of the layout.
using LocalShards = std::vector<LocalShard>;

// The bytes of one extent, wherever this rank has them.
class ExtentSource {
 public:
  // Throws Error{internal} where this rank does not hold the extent.
  ExtentSource(const Layout& layout, const LocalShards& shards, const Extent& extent);
  [[nodiscard]] bool in_memory() const { return memory_->data != nullptr; }
  // All of it, where it is in memory.
  [[nodiscard]] const std::byte* data() const { return memory_->data + in_shard_; }
  // Copies bytes of the extent from `first` on; throws whatever the shard's own read function throws.
  void read(std::uint64_t first, std::span<std::byte> to) const;

 private:
  const TensorMemory* memory_ = nullptr;
  std::uint64_t in_shard_ = 0;
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
