#pragma once
// The most memory that this process had at once since a moment.

#include <cstdint>

namespace muster::bench {

// Reads the kernel's own mark (VmHWM), so it sees every allocator and costs nothing while it counts. For one thread's
// work at a time.
class PeakMemory {
 public:
  // Gives free heap memory back to the system, so that what is used again counts.
  PeakMemory();
  // Forgets the peak so far, but not what was in use when this object was made.
  void restart();
  // Above what was in use at the start.
  [[nodiscard]] std::uint64_t peak_bytes() const;

 private:
  std::uint64_t start_bytes_;
};

}  // namespace muster::bench
