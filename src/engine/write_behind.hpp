#pragma once
// Buffers that one thread fills while other threads write what it filled before. Those threads call neither MPI nor
// HDF5.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/aligned_memory.hpp"
#include "base/clock.hpp"
#include "base/direct_file.hpp"

namespace muster::engine {

// Bytes of a buffer on their way to one place in the file.
struct Segment {
  std::size_t at = 0;  // in the buffer; congruent to the offset modulo the file's block
  std::size_t bytes = 0;
  std::uint64_t offset = 0;  // in the file
};

struct StagingBuffer {
  AlignedMemory memory;
  std::vector<Segment> segments;
};

class WriteBehind {
 public:
  // Borrows the file and the buffers, all free.
  WriteBehind(posix::DirectFile& file, std::vector<StagingBuffer>& buffers, int threads);
  // Waits for the writes in flight; what is not yet begun is dropped.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // A free buffer without segments; waits for one. Throws what a write failed with.
  StagingBuffer& next();
  // Writes the buffer's segments, in order, and frees it.
  void submit(StagingBuffer& buffer);
  // Returns when all that was submitted is written; throws what the first failed write failed with.
  void finish();
  // Seconds from construction to the first write; nothing before it. After finish().
  [[nodiscard]] std::optional<double> first_write_s() const { return first_write_s_; }

 private:
  void work();

  posix::DirectFile& file_;
  const Stopwatch watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StagingBuffer*> free_;
  std::deque<StagingBuffer*> full_;
  int writing_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::optional<double> first_write_s_;
  std::vector<std::thread> threads_;
};

}  // namespace muster::engine
