#pragma once
// The engine `direct`: one rank's part of a save. Its bytes are copied into buffers, and two threads hash and write
// these in order, each extent at its place in the file, past the page cache if the file system allows it. No rank waits
// for another, and nothing here calls MPI or HDF5.
//
// The copy is made in one of two ways, and each goes on where the other stopped:
// * Staging: stage() copies all of it into buffers of a pool; the threads that write take these.
// * Write-through: the threads that write copy a part at a time, and hash it as they copy it. That is less work for the
//   processor and for memory, but the state is in use until the storage has taken it.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/direct_file.hpp"
#include "engine/extent_copier.hpp"
#include "engine/extent_hasher.hpp"
#include "engine/rate_limit.hpp"
#include "engine/staging_pool.hpp"
#include "engine/write_result.hpp"
#include "model/save_phase.hpp"

namespace muster::engine {

class DirectWrite {
 public:
  // Opens the part file, which has its full size. What it refers to outlives it, what the shards refer to until
  // on_staged's call.
  DirectWrite(const std::filesystem::path& part, const Layout& layout, int rank, LocalShards shards, StagingPool& pool);
  ~DirectWrite();  // neither stage() nor run() is on the way
  DirectWrite(const DirectWrite&) = delete;
  DirectWrite& operator=(const DirectWrite&) = delete;

  // What follows: before stage() and run().
  // To write at most so fast; 0, as it begins: as fast as it goes.
  void limit_rate(double bytes_per_s) { bytes_per_s_ = bytes_per_s; }
  // That run() copies by itself what nobody has staged yet, and waits for nobody to do it.
  void write_through() { writes_through_ = true; }
  // Called once, when nothing is copied from the shards any more, on the thread that copied last.
  void on_staged(std::function<void()> call) { on_staged_ = std::move(call); }
  // Called now and then as it writes, on any of its threads.
  void on_progress(std::function<void()> call) { on_progress_ = std::move(call); }
  // Called as it begins to write, and to sync; the same.
  void on_phase(std::function<void(SavePhase phase)> call) { on_phase_ = std::move(call); }

  // Copies what is left of this rank's extents; the caller may change the state afterwards. From any thread, as often
  // as one likes. Where the pool has not enough buffers for all of it this waits for run() to write some. Throws what a
  // shard's own read function throws, and then makes run() end with the same.
  void stage();
  // From any thread: makes run() end with this failure, and leave unwritten what is not yet on its way. A stage() that
  // is under way, or begins later, throws it; without write_through() run() ends only after one.
  void give_up(std::exception_ptr failure);
  // From any thread: the failure that it was given up with; null if it was not.
  [[nodiscard]] std::exception_ptr given_up();

  // Hashes, writes and syncs what is staged, and closes the file: the bytes are durable on return. On a thread of its
  // own, once, of all the writes that share the pool one at a time; begins when all is staged, or as much as fits, or,
  // with write_through(), at once. Throws what failed; all buffers are given back.
  WriteResult run();

  // From any thread: that it goes on, though nothing is written yet.
  void count_sign_of_life() { ++signs_of_life_; }
  // Before stage() and run(): whether none of it comes by way of read functions.
  [[nodiscard]] bool copies_memory_only() const { return bytes_by_functions() == 0; }
  // Before stage() and run(): whether next to none of it comes by way of read functions, as from a device.
  [[nodiscard]] bool is_in_host_memory() const;
  // From any thread.
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }
  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  // Grows as long as it goes on, if only towards the moment in which its rate lets it.
  [[nodiscard]] std::uint64_t signs_of_life() const { return signs_of_life_; }
  // After run(). stage_s: of copying, and of the hashing that goes with it.
  [[nodiscard]] double write_s() const { return write_s_; }
  [[nodiscard]] double sync_s() const { return sync_s_; }
  [[nodiscard]] double stage_s() const { return stage_s_; }
  // Of written_bytes(), what run() copied itself.
  [[nodiscard]] std::uint64_t write_through_bytes() const { return write_through_bytes_; }
  // What it was at, and failed in: stage, write or sync.
  [[nodiscard]] SavePhase phase() const { return phase_; }

 private:
  [[nodiscard]] std::uint64_t bytes_by_functions() const;
  void copy_next(StagingBuffer& buffer, ExtentHasher* hasher);
  void end_staging(std::exception_ptr failure);
  StagingBuffer& take_from_pool();
  void recycle(StagingBuffer& buffer);
  void give_all_memory_back();
  void borrow_memory(std::vector<StagingBuffer>& own);
  void write_in_turns(StagingBuffer& own);
  StagingBuffer* next_to_write(StagingBuffer& own);
  bool prepare(const StagingBuffer& buffer);
  void fail(std::exception_ptr failure);
  void close_quietly();
  void sign_of_life();
  const Layout& layout_;
  const int rank_;
  StagingPool& pool_;
  double bytes_per_s_ = 0;
  bool writes_through_ = false;
  std::function<void()> on_staged_;
  std::function<void()> on_progress_;
  std::function<void(SavePhase)> on_phase_;
  posix::DirectFile file_;
  std::uint64_t total_bytes_ = 0;
  std::atomic<std::uint64_t> written_bytes_{0};
  std::atomic<std::uint64_t> write_through_bytes_{0};
  std::atomic<std::uint64_t> signs_of_life_{0};
  double write_s_ = 0;
  double sync_s_ = 0;
  SavePhase phase_ = SavePhase::write;

  // Locked in this order.
  std::mutex stage_mutex_;  // by the one thread in stage()
  std::mutex front_mutex_;  // by the one that takes what is written next
  std::mutex copy_mutex_;   // by the one that copies
  std::mutex mutex_;

  // Behind front_mutex_.
  ExtentHasher hasher_;
  std::optional<RateLimit> rate_limit_;
  Stopwatch writing_;
  std::optional<double> first_write_s_;

  // Behind copy_mutex_.
  LocalShards shards_;
  std::optional<ExtentCopier> copier_;  // while there is something to copy
  bool copying_ = false;                // has begun
  double stage_s_ = 0;

  // Behind mutex_.
  std::condition_variable changed_;
  std::deque<std::unique_ptr<StagingBuffer>> buffers_;  // all that were ever in use here
  std::vector<StagingBuffer*> empty_;                   // of those, without memory
  std::deque<StagingBuffer*> staged_;
  bool may_write_ = false;
  bool in_stage_ = false;  // a thread is
  bool all_staged_ = false;
  std::exception_ptr staging_failure_;
  std::exception_ptr given_up_;
  std::exception_ptr failure_;  // of a write
};

}  // namespace muster::engine
