#pragma once
// Fills buffers with this rank's runs of extents, in the order of the file, each run at addresses congruent to its
// place there.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/extent_hasher.hpp"
#include "engine/extent_runs.hpp"
#include "engine/shard_bytes.hpp"
#include "engine/staging_buffer.hpp"
#include "model/layout.hpp"

namespace muster::engine {

class ExtentCopier {
 public:
  // Borrows layout and shards. block_bytes: of the file.
  ExtentCopier(const Layout& layout, int rank, const LocalShards& shards, std::uint64_t block_bytes);

  // Whether all of it was filled into buffers.
  [[nodiscard]] bool at_end() const { return run_ == runs_.size(); }
  // Fills at most `capacity` bytes of the buffer with what comes next; not at_end(). Memory is copied past the core's
  // caches. `hasher` gets the extents' bytes while the core has them from memory; without one the buffer's parts tell
  // which bytes are whose. Throws what a shard's own read function throws; there is nothing to go on with then.
  void fill(StagingBuffer& buffer, std::size_t capacity, ExtentHasher* hasher);

  // Of extents filled so far.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  void begin_run();
  void fill_segment(StagingBuffer& buffer, std::size_t capacity, ExtentHasher* hasher);
  void copy_extent(StagingBuffer& buffer, const Extent& extent, std::span<std::byte> to, ExtentHasher* hasher);

  const Layout& layout_;
  const LocalShards& shards_;
  const std::uint64_t block_bytes_;
  const std::vector<ExtentRun> runs_;
  std::size_t run_ = 0;
  std::size_t extent_ = 0;    // of the layout: the next one to be copied, or to go on with
  std::uint64_t cursor_ = 0;  // in the file
  std::size_t filled_ = 0;    // of the buffer
  std::uint64_t bytes_ = 0;
};

}  // namespace muster::engine
