#pragma once
// The memory of this process and of its machine. Local.

#include <cstdint>

namespace muster::bench {

// The most memory that this process had at once since a moment. Reads the kernel's own mark (VmHWM), so it sees every
// allocator and costs nothing while it counts. For one thread's work at a time.
class PeakMemory {
 public:
  // Gives free heap memory back to the system, so that what is used again counts.
  PeakMemory();
  // Forgets the peak so far, but not what was in use when this object was made.
  void restart();
  // Above what was in use at the start.
  [[nodiscard]] std::uint64_t peak_bytes() const;

 private:
  std::uint64_t start_bytes_ = 0;
};

// Takes this much memory from the kernel, touches it and gives it back, so that the next to ask for memory (a page
// cache above all) gets pages that were in use just now. Virtual machines return free memory to their host, and its
// next touch is up to ten times slower: without this, whoever comes first after a pause would pay for all. Takes no
// more than a quarter of what is available.
void touch_free_memory(std::uint64_t bytes);

}  // namespace muster::bench
