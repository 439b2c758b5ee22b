#pragma once
// Threads that write buffers in the order in which they come, while others fill the next ones. They call neither MPI
// nor HDF5.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/direct_file.hpp"
#include "engine/staging_buffer.hpp"

namespace muster::engine {

class WriteBehind {
 public:
  // Borrows the file. `done` gets every buffer that was submitted, written or not, on one of the threads.
  using Done = std::function<void(StagingBuffer&)>;
  WriteBehind(posix::DirectFile& file, int threads, Done done);
  // Waits for the writes in flight; what is not yet begun is dropped.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // To write the buffer's segments, in order. Throws what an earlier write failed with; the buffer is not taken then.
  void submit(StagingBuffer& buffer);
  // Returns when all that was submitted is written; throws what the first failed write failed with. After a failure
  // nothing more is written.
  void finish();
  // Seconds from construction to the first write; nothing before it. After finish().
  [[nodiscard]] std::optional<double> first_write_s() const { return first_write_s_; }

 private:
  void work();

  posix::DirectFile& file_;
  const Done done_;
  const Stopwatch watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StagingBuffer*> full_;
  int writing_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::optional<double> first_write_s_;
  std::vector<std::thread> threads_;
};

}  // namespace muster::engine
