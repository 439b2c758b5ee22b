#pragma once
// The memory of background saves: buffers of one size, never more than a limit, kept from save to save. Thread-safe.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/aligned_memory.hpp"

namespace muster::engine {

class StagingPool {
 public:
  static constexpr std::size_t kBufferBytes = std::size_t{16} << 20;

  // At most so many buffers in use at once, at least 2. What is kept beyond it is freed.
  void set_limit(std::size_t buffers);
  // One that is free, or new while the limit allows; nothing where all are in use. Throws std::bad_alloc.
  std::optional<AlignedMemory> try_take();
  // The same; waits for one to be given back.
  AlignedMemory take();
  void give_back(AlignedMemory memory);
  // Memory beside the limit, for one user at a time: the same each time, larger where it has to be.
  std::span<std::byte> write_through_memory(std::size_t bytes);
  // Frees what nobody uses.
  void trim();

 private:
  std::optional<AlignedMemory> take_locked();

  std::mutex mutex_;
  std::condition_variable given_back_;
  std::vector<AlignedMemory> free_;
  AlignedMemory through_;
  std::size_t limit_ = 2;
  std::size_t in_use_ = 0;
};

}  // namespace muster::engine
