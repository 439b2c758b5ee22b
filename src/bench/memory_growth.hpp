#pragma once
// How much memory a piece of work took beyond what was there before. Local, of this process.

#include <cstdint>

namespace muster::bench {

class MemoryGrowth {
 public:
  // Forgets earlier peaks and notes what is in use.
  MemoryGrowth();
  // The peak since then above what was in use then; 0 where Linux does not tell.
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  bool known_ = false;
  std::uint64_t before_bytes_ = 0;
};

}  // namespace muster::bench
