#pragma once
// Fills buffers with this rank's runs of extents, each run at addresses congruent to its place in the file.

#include <cstdint>
#include <vector>

#include "engine/extent_runs.hpp"
#include "engine/shard_bytes.hpp"
#include "engine/staging_buffer.hpp"
#include "model/layout.hpp"

namespace muster::engine {

// Where the filler gets its buffers from and leaves them.
class BufferSink {
 public:
  virtual ~BufferSink() = default;
  // A free buffer without segments; may wait for one.
  virtual StagingBuffer& next() = 0;
  virtual void submit(StagingBuffer& buffer) = 0;
};

enum class HashWhen : std::uint8_t {
  while_copying,
  later,  // the buffers' pieces tell which bytes are whose
  never,
};

struct FillerOptions {
  std::uint64_t buffer_bytes = 0;
  std::uint64_t first_bytes =
      0;  // of the first buffer, handed over early so that the device need not wait for a full one
  std::uint64_t block_bytes = 0;  // of the file
  HashWhen hash = HashWhen::while_copying;
};

class Filler {
 public:
  Filler(const Layout& layout, const LocalShards& shards, const FillerOptions& options, BufferSink& sink)
      : layout_(layout), shards_(shards), options_(options), sink_(sink) {}

  // Runs in file order. Throws what a shard's own read function throws.
  void fill(const ExtentRun& run);
  // Hands over what is left.
  void finish() { hand_over(); }

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // One an extent: its hash; 0 where it is not hashed while it is copied.
  [[nodiscard]] std::vector<std::uint64_t> take_hashes() { return std::move(hashes_); }

 private:
  [[nodiscard]] std::size_t room() const { return capacity_ - filled_; }
  void hand_over();
  void open_segment(std::uint64_t offset);
  template <class Get>
  void put(std::uint64_t bytes, Get&& get);
  void put_extent(const Extent& extent);

  const Layout& layout_;
  const LocalShards& shards_;
  const FillerOptions options_;
  BufferSink& sink_;
  StagingBuffer* buffer_ = nullptr;
  bool started_ = false;
  std::uint64_t capacity_ = 0;  // of the buffer, as far as it is to be filled
  std::size_t filled_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<std::uint64_t> hashes_;
};

}  // namespace muster::engine
