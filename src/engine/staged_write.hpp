#pragma once
// One rank's part of a background save: one thread copies the state into buffers of a pool, another hashes and writes
// what was copied. Neither calls MPI or HDF5.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>

#include "base/clock.hpp"
#include "base/direct_file.hpp"
#include "engine/engine.hpp"
#include "engine/filler.hpp"
#include "engine/staging_pool.hpp"

namespace muster::engine {

class StagedWrite : private BufferSink {
 public:
  // Opens the part file, which has its full size. What it refers to outlives it.
  StagedWrite(const std::filesystem::path& part, const Layout& layout, int rank, StagingPool& pool);
  ~StagedWrite() override;  // neither stage() nor run() is on the way
  StagedWrite(const StagedWrite&) = delete;
  StagedWrite& operator=(const StagedWrite&) = delete;

  // Before run(): to write at most so fast; 0, as it begins: as fast as it goes.
  void limit_rate(double bytes_per_s) { bytes_per_s_ = bytes_per_s; }
  // Before run(): called now and then as it writes, on one of its threads.
  void on_progress(std::function<void()> call) { on_progress_ = std::move(call); }

  // Before run(): called as it begins to write, and to sync; the same.
  void on_phase(std::function<void(const char* phase)> call) { on_phase_ = std::move(call); }

  // Copies this rank's extents; the caller may change the state afterwards. Where the pool has not enough buffers for
  // all of it this waits for run() to write some. Once. Throws what a shard's own read function throws, and then
  // makes run() end with the same.
  void stage(const LocalShards& shards);
  // From any thread: makes run() end with this failure, and leave unwritten what is not yet on its way. A stage() that
  // is under way, or begins later, throws it; run() ends only after one.
  void give_up(std::exception_ptr failure);

  // Hashes, writes and syncs what is staged, and closes the file: the bytes are durable on return. On a thread of its
  // own, once; begins when all is staged, or as much as fits. Throws what failed; all buffers are given back.
  WriteResult run();

  // From any thread.
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }
  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  // Grows as long as it goes on, if only towards the moment in which its rate lets it.
  [[nodiscard]] std::uint64_t signs_of_life() const { return signs_of_life_; }
  // After run().
  [[nodiscard]] double write_s() const { return write_s_; }
  [[nodiscard]] double sync_s() const { return sync_s_; }
  [[nodiscard]] double stage_s() const { return stage_s_; }
  // What it was at, and failed in: "stage", "write", "sync".
  [[nodiscard]] const char* phase() const { return phase_; }

 private:
  StagingBuffer& next() override;
  void submit(StagingBuffer& buffer) override;
  void recycle(StagingBuffer& buffer);
  void wait_for_staging();
  StagingBuffer* wait_for_staged();
  void end_staging(std::exception_ptr failure);
  void give_memory_back(StagingBuffer& buffer);
  void close_quietly();
  void sign_of_life();
  [[nodiscard]] std::exception_ptr given_up();

  const Layout& layout_;
  const int rank_;
  StagingPool& pool_;
  double bytes_per_s_ = 0;
  std::function<void()> on_progress_;
  std::function<void(const char*)> on_phase_;
  posix::DirectFile file_;
  std::uint64_t total_bytes_ = 0;
  std::atomic<std::uint64_t> written_bytes_{0};
  std::atomic<std::uint64_t> signs_of_life_{0};
  double write_s_ = 0;
  double sync_s_ = 0;
  double stage_s_ = 0;
  const char* phase_ = "write";

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<StagingBuffer>> buffers_;  // all that were ever in use here
  std::vector<StagingBuffer*> empty_;                   // of those, without memory
  std::deque<StagingBuffer*> staged_;
  Stopwatch staging_;
  bool may_write_ = false;
  bool all_staged_ = false;
  std::exception_ptr staging_failure_;
  std::exception_ptr given_up_;
};

}  // namespace muster::engine
