#include "engine/staged_write.hpp"

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "base/hash.hpp"
#include "engine/extent_runs.hpp"
#include "engine/pace.hpp"
#include "engine/write_behind.hpp"

namespace muster::engine {

namespace {

// Of extents whose bytes come piece by piece, one extent after the other.
class PieceHasher {
 public:
  void add(const StagingBuffer& buffer) {
    const std::span<const std::byte> bytes = buffer.memory.bytes();
    for (const auto& piece : buffer.pieces) {
      const auto part = bytes.subspan(piece.at, piece.bytes);
      if (piece.ends_extent && !begun_) {
        hashes_.push_back(hash_bytes(part));
        continue;
      }
      if (!begun_) hasher_ = Hasher();
      begun_ = true;
      hasher_.add(part);
      if (!piece.ends_extent) continue;
      hashes_.push_back(hasher_.value());
      begun_ = false;
    }
  }
  [[nodiscard]] std::vector<std::uint64_t> take() { return std::move(hashes_); }

 private:
  Hasher hasher_;
  bool begun_ = false;
  std::vector<std::uint64_t> hashes_;
};

std::uint64_t segment_bytes(const StagingBuffer& buffer) {
  std::uint64_t bytes = 0;
  for (const auto& segment : buffer.segments) bytes += segment.bytes;
  return bytes;
}

}  // namespace

StagedWrite::StagedWrite(const std::filesystem::path& part, const Layout& layout, int rank, StagingPool& pool)
    : layout_(layout), rank_(rank), pool_(pool), file_(part, posix::DirectFile::Access::write) {
  for (const auto& extent : layout.extents) {
    if (extent.writer == rank) total_bytes_ += extent.bytes;
  }
}

StagedWrite::~StagedWrite() {
  // Of a save that was given up before run().
  for (auto& buffer : buffers_) give_memory_back(*buffer);
}

void StagedWrite::give_memory_back(StagingBuffer& buffer) {
  if (buffer.memory.size() != 0) pool_.give_back(std::move(buffer.memory));
}

void StagedWrite::close_quietly() {
  try {
    file_.close();
  } catch (const std::exception&) {
    // What made it necessary is what counts.
  }
}

void StagedWrite::sign_of_life() {
  ++signs_of_life_;
  if (on_progress_) on_progress_();
}

void StagedWrite::stage(const LocalShards& shards) {
  {
    const std::lock_guard lock(mutex_);
    staging_ = Stopwatch();
  }
  try {
    failpoint::pass("async.stage");
    Filler filler(layout_, shards,
                  {.buffer_bytes = StagingPool::kBufferBytes,
                   .first_bytes = StagingPool::kBufferBytes,
                   .block_bytes = file_.block_bytes(),
                   .hash = HashWhen::later},
                  *this);
    for (const auto& run : extent_runs(layout_, rank_)) filler.fill(run);
    filler.finish();
    end_staging(nullptr);
  } catch (...) {
    end_staging(std::current_exception());
    throw;
  }
}

void StagedWrite::give_up(std::exception_ptr failure) {
  {
    const std::lock_guard lock(mutex_);
    if (!given_up_) given_up_ = std::move(failure);
    may_write_ = true;
  }
  changed_.notify_all();
}

std::exception_ptr StagedWrite::given_up() {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

void StagedWrite::end_staging(std::exception_ptr failure) {
  {
    const std::lock_guard lock(mutex_);
    stage_s_ = staging_.seconds();
    staging_failure_ = std::move(failure);
    all_staged_ = true;
    may_write_ = true;
  }
  changed_.notify_all();
}

StagingBuffer& StagedWrite::next() {
  if (const auto failure = given_up()) std::rethrow_exception(failure);
  auto memory = pool_.try_take();
  if (!memory) {
    {
      const std::lock_guard lock(mutex_);
      may_write_ = true;
    }
    changed_.notify_all();
    memory = pool_.take();
  }
  const std::lock_guard lock(mutex_);
  if (empty_.empty()) {
    buffers_.push_back(std::make_unique<StagingBuffer>());
    empty_.push_back(buffers_.back().get());
  }
  auto& buffer = *empty_.back();
  empty_.pop_back();
  buffer.memory = std::move(*memory);
  buffer.segments.clear();
  buffer.pieces.clear();
  return buffer;
}

void StagedWrite::submit(StagingBuffer& buffer) {
  {
    const std::lock_guard lock(mutex_);
    staged_.push_back(&buffer);
  }
  changed_.notify_all();
}

void StagedWrite::recycle(StagingBuffer& buffer) {
  auto memory = std::move(buffer.memory);
  {
    const std::lock_guard lock(mutex_);
    empty_.push_back(&buffer);
  }
  pool_.give_back(std::move(memory));
}

// Until all is staged, or as much as fits: what the program may be waiting for has the cores and the memory bus to
// itself.
void StagedWrite::wait_for_staging() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return may_write_; });
}

// Null where all has come.
StagingBuffer* StagedWrite::wait_for_staged() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !staged_.empty() || all_staged_; });
  if (staged_.empty()) return nullptr;
  auto* buffer = staged_.front();
  staged_.pop_front();
  return buffer;
}

WriteResult StagedWrite::run() {
  PieceHasher hasher;
  std::exception_ptr failure;
  std::optional<double> first_write_s;
  wait_for_staging();
  if (on_phase_) on_phase_("write");
  const Stopwatch watch;
  {
    std::optional<WriteBehind> writes;
    try {
      writes.emplace(file_, 1, [this](StagingBuffer& buffer) {
        written_bytes_ += segment_bytes(buffer);
        recycle(buffer);
        sign_of_life();
      });
    } catch (...) {
      failure = std::current_exception();
    }
    Pace pace(bytes_per_s_);
    // Whatever happens every buffer is taken: the thread that stages may be waiting for one.
    while (auto* buffer = wait_for_staged()) {
      if (!failure) failure = given_up();
      if (failure) {
        recycle(*buffer);
        continue;
      }
      try {
        failpoint::pass("async.write");
        hasher.add(*buffer);
        pace.before(segment_bytes(*buffer), [this] {
          sign_of_life();
          if (const auto given = given_up()) std::rethrow_exception(given);
        });
        writes->submit(*buffer);
      } catch (...) {
        failure = std::current_exception();
        recycle(*buffer);
      }
    }
    if (writes) {
      try {
        writes->finish();
      } catch (...) {
        if (!failure) failure = std::current_exception();
      }
      first_write_s = writes->first_write_s();
    }
  }
  {
    const std::lock_guard lock(mutex_);
    if (staging_failure_) {
      failure = staging_failure_;
      phase_ = "stage";
    }
  }
  if (failure) {
    // A handle of the program's may keep this object for long, but not its memory and its disk space.
    for (auto& buffer : buffers_) give_memory_back(*buffer);
    close_quietly();
    std::rethrow_exception(failure);
  }
  write_s_ = watch.seconds();
  phase_ = "sync";
  if (on_phase_) on_phase_("sync");
  const auto direct_bytes = file_.direct_bytes();
  try {
    failpoint::pass("async.sync");
    file_.sync();
    file_.close();
  } catch (...) {
    close_quietly();
    throw;
  }
  sync_s_ = watch.seconds() - write_s_;
  return {.hashes = hasher.take(), .bytes = total_bytes_, .direct_bytes = direct_bytes, .first_byte_s = first_write_s};
}

}  // namespace muster::engine
