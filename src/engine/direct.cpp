#include "engine/direct.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "engine/extent_copier.hpp"
#include "engine/write_behind.hpp"

namespace muster::engine {

namespace {

constexpr std::uint64_t kFirstBytes = 512 << 10;

// A few buffers that go round: filled, written, free again.
class BufferRing {
 public:
  BufferRing(std::vector<StagingBuffer>& buffers, posix::DirectFile& file, int threads)
      : writes_(file, threads, [this](StagingBuffer& buffer) { free(buffer); }) {
    for (auto& buffer : buffers) free_.push_back(&buffer);
  }

  // A free buffer; waits for one.
  StagingBuffer& next() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return !free_.empty(); });
    auto& buffer = *free_.back();
    free_.pop_back();
    return buffer;
  }
  [[nodiscard]] WriteBehind& writes() { return writes_; }

 private:
  void free(StagingBuffer& buffer) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(&buffer);
    }
    freed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<StagingBuffer*> free_;
  WriteBehind writes_;  // last: its threads use the others
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
    BufferRing ring(buffers_, file_, options_.writer_threads);
    ExtentCopier copier(layout_, rank_, shards, file_.block_bytes());
    ExtentHasher hasher;
    // Of the first buffer only so much, that the device need not wait for a full one.
    auto capacity = std::min(kFirstBytes, options_.buffer_bytes);
    while (!copier.at_end()) {
      auto& buffer = ring.next();
      copier.fill(buffer, capacity, options_.hash ? &hasher : nullptr);
      ring.writes().submit(buffer);
      capacity = options_.buffer_bytes;
    }
    ring.writes().finish();
    return {.hashes = options_.hash ? hasher.take() : no_hashes(),
            .bytes = copier.bytes(),
            .direct_bytes = file_.direct_bytes(),
            .first_byte_s = ring.writes().first_write_s()};
  }

  void sync() override {
    // What went past the cache still waits in the device's own cache, and the file system's journal.
    file_.sync();
    file_.close();
  }

 private:
  // One an extent.
  [[nodiscard]] std::vector<std::uint64_t> no_hashes() const {
    const auto own = std::ranges::count(layout_.extents, rank_, &Extent::writer);
    return std::vector<std::uint64_t>(static_cast<std::size_t>(own), 0);
  }

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
