#include "engine/direct.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/failpoint.hpp"
#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "base/streaming_copy.hpp"
#include "engine/extent_runs.hpp"
#include "engine/write_behind.hpp"

namespace muster::engine {

namespace {

// Small enough that what was hashed is still in the core's cache when it is copied.
constexpr std::size_t kCopyBytes = 128 << 10;

constexpr std::uint64_t kFirstBytes = 512 << 10;

// Fills staging buffers with runs of extents, hashing as it copies.
class Filler {
 public:
  Filler(const Layout& layout, const LocalShards& shards, const DirectOptions& options, std::uint64_t block_bytes,
         WriteBehind& writes)
      : layout_(layout), shards_(shards), options_(options), block_bytes_(block_bytes), writes_(writes) {}

  void fill(const ExtentRun& run) {
    open_segment(run.offset);
    auto cursor = run.offset;
    for (std::size_t i = run.first_extent; i < run.first_extent + run.extents; ++i) {
      const auto& extent = layout_.extents[i];
      put(extent.offset - cursor, [](std::uint64_t, std::span<std::byte> to) { std::ranges::fill(to, std::byte{0}); });
      put_extent(extent);
      cursor = extent.offset + extent.bytes;
    }
  }

  void finish() {
    hand_over();
    writes_.finish();
  }

  [[nodiscard]] WriteResult& result() { return result_; }

 private:
  [[nodiscard]] std::size_t room() const { return capacity_ - filled_; }

  void hand_over() {
    if (buffer_ == nullptr) return;
    writes_.submit(*buffer_);
    buffer_ = nullptr;
  }

  // Bytes that follow go to this offset. A segment starts at an address congruent to its offset.
  void open_segment(std::uint64_t offset) {
    const auto past_block = static_cast<std::size_t>(offset % block_bytes_);
    if (buffer_ != nullptr) {
      filled_ = align_up(filled_, block_bytes_) + past_block;
      if (filled_ >= capacity_) hand_over();
    }
    if (buffer_ == nullptr) {
      buffer_ = &writes_.next();
      // The first one is handed over early, so that the device does not wait for a full one.
      capacity_ = started_ ? options_.buffer_bytes : std::min(kFirstBytes, options_.buffer_bytes);
      started_ = true;
      filled_ = past_block;
    }
    buffer_->segments.push_back({filled_, 0, offset});
  }

  // Appends `bytes` bytes, got piece by piece from get(first byte, to).
  template <class Get>
  void put(std::uint64_t bytes, Get&& get) {
    for (std::uint64_t done = 0; done < bytes;) {
      if (room() == 0) {
        const auto& last = buffer_->segments.back();
        open_segment(last.offset + last.bytes);
      }
      const auto part = std::min<std::uint64_t>(bytes - done, room());
      get(done, buffer_->memory.bytes().subspan(filled_, part));
      filled_ += part;
      buffer_->segments.back().bytes += part;
      done += part;
    }
  }

  void put_extent(const Extent& extent) {
    failpoint::pass("engine.extent");
    const ExtentSource source(layout_, shards_, extent);
    if (!options_.hash) {
      put(extent.bytes, [&](std::uint64_t first, std::span<std::byte> to) { source.read(first, to); });
      result_.hashes.push_back(0);
    } else if (extent.bytes <= kCopyBytes && extent.bytes <= room()) {
      put(extent.bytes, [&](std::uint64_t first, std::span<std::byte> to) {
        if (source.in_memory()) {
          result_.hashes.push_back(hash_bytes({source.data(), extent.bytes}));
          streaming_copy(to, {source.data(), extent.bytes});
        } else {
          source.read(first, to);
          result_.hashes.push_back(hash_bytes(to));
        }
      });
    } else {
      Hasher hasher;
      put(extent.bytes, [&](std::uint64_t first, std::span<std::byte> to) { copy(source, first, to, hasher); });
      result_.hashes.push_back(hasher.value());
    }
    result_.bytes += extent.bytes;
  }

  static void copy(const ExtentSource& source, std::uint64_t first, std::span<std::byte> to, Hasher& hasher) {
    // A function of the caller's is asked for all at once: it may start a transfer from a device each time.
    if (!source.in_memory()) {
      source.read(first, to);
      hasher.add(to);
      return;
    }
    for (std::size_t done = 0; done < to.size(); done += kCopyBytes) {
      const std::span part(source.data() + first + done, std::min(kCopyBytes, to.size() - done));
      hasher.add(part);
      streaming_copy(to.subspan(done, part.size()), part);
    }
  }

  const Layout& layout_;
  const LocalShards& shards_;
  const DirectOptions& options_;
  const std::uint64_t block_bytes_;
  WriteBehind& writes_;
  StagingBuffer* buffer_ = nullptr;
  bool started_ = false;
  std::uint64_t capacity_ = 0;  // of the buffer, as far as it is to be filled
  std::size_t filled_ = 0;
  WriteResult result_;
};

class DirectWriter : public PartWriter {
 public:
  DirectWriter(const Part& part, const DirectOptions& options, StagingArena& arena)
      : layout_(*part.layout),
        options_(options),
        rank_(part.comm.rank()),
        file_(part.path, posix::DirectFile::Access::write),
        arena_(arena),
        buffers_(static_cast<std::size_t>(options.buffers)) {
    for (auto& buffer : buffers_) buffer.memory = arena_.take(options_.buffer_bytes);
  }
  ~DirectWriter() override {
    for (auto& buffer : buffers_) arena_.give_back(std::move(buffer.memory));
  }
  DirectWriter(const DirectWriter&) = delete;
  DirectWriter& operator=(const DirectWriter&) = delete;

  WriteResult write(const LocalShards& shards) override {
    WriteBehind writes(file_, buffers_, options_.writer_threads);
    Filler filler(layout_, shards, options_, file_.block_bytes(), writes);
    for (const auto& run : extent_runs(layout_, rank_)) filler.fill(run);
    filler.finish();
    auto result = std::move(filler.result());
    result.first_byte_s = writes.first_write_s();
    result.direct_bytes = file_.direct_bytes();
    return result;
  }

  void sync() override {
    // What went past the cache still waits in the device's own cache, and the file system's journal.
    file_.sync();
    file_.close();
  }

 private:
  const Layout& layout_;
  const DirectOptions& options_;
  const int rank_;
  posix::DirectFile file_;
  StagingArena& arena_;
  std::vector<StagingBuffer> buffers_;
};

class DirectEngine : public Engine {
 public:
  DirectEngine(StagingArena& arena, const DirectOptions& options) : arena_(arena), options_(options) {}
  [[nodiscard]] std::string_view name() const override { return "direct"; }
  [[nodiscard]] bool is_collective() const override { return false; }
  std::unique_ptr<PartWriter> open(const Part& part) override {
    return std::make_unique<DirectWriter>(part, options_, arena_);
  }

 private:
  StagingArena& arena_;
  const DirectOptions options_;
};

}  // namespace

std::unique_ptr<Engine> make_direct_engine(StagingArena& arena, const DirectOptions& options) {
  return std::make_unique<DirectEngine>(arena, options);
}

}  // namespace muster::engine
