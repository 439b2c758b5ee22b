#pragma once
// Fills buffers with this rank's runs of extents, in the order of the file, each run at addresses congruent to its
// place there.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "engine/extent_runs.hpp"
#include "engine/shard_bytes.hpp"
#include "engine/staging_buffer.hpp"
#include "model/layout.hpp"

namespace muster::engine {

enum class HashWhen : std::uint8_t {
  while_copying,
  later,  // the buffers' pieces tell which bytes are whose
  never,
};

// Where what is copied should be afterwards.
enum class CopyTo : std::uint8_t {
  memory,  // past the core's caches, which keep what they have
  caches,  // for a buffer that is read next, and small enough to stay there
};

struct FillerOptions {
  std::uint64_t block_bytes = 0;  // of the file
  HashWhen hash = HashWhen::while_copying;
};

class Filler {
 public:
  // Borrows layout and shards.
  Filler(const Layout& layout, int rank, const LocalShards& shards, const FillerOptions& options);

  // Whether all of it was filled into buffers.
  [[nodiscard]] bool at_end() const { return run_ == runs_.size(); }
  // Fills at most `capacity` bytes of the buffer with what comes next; not at_end(). Throws what a shard's own read
  // function throws; there is nothing to go on with then.
  void fill(StagingBuffer& buffer, std::size_t capacity, CopyTo where);

  // Of extents filled so far.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // One an extent: its hash; 0 where it is not hashed while it is copied.
  [[nodiscard]] std::vector<std::uint64_t> take_hashes() { return std::move(hashes_); }

 private:
  void begin_run();
  void fill_segment(StagingBuffer& buffer, std::size_t capacity, CopyTo where);
  void copy_extent(StagingBuffer& buffer, const Extent& extent, std::span<std::byte> to, CopyTo where);

  const Layout& layout_;
  const LocalShards& shards_;
  const FillerOptions options_;
  const std::vector<ExtentRun> runs_;
  std::size_t run_ = 0;
  std::size_t extent_ = 0;    // of the layout: the next one to be copied, or to go on with
  std::uint64_t cursor_ = 0;  // in the file
  std::size_t filled_ = 0;    // of the buffer
  std::uint64_t bytes_ = 0;
  Hasher hasher_;  // of an extent that comes in parts
  std::vector<std::uint64_t> hashes_;
};

}  // namespace muster::engine
