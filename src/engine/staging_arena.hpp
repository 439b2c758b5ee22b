#pragma once
// Buffers that loads read into, kept from one load to the next: memory that was never touched is slow to get.

#include <cstddef>
#include <vector>

#include "base/aligned_memory.hpp"

namespace muster::engine {

class StagingArena {
 public:
  // A buffer of at least so many bytes, one that was given back where there is one. Throws std::bad_alloc.
  AlignedMemory take(std::size_t bytes);
  // Kept for the next one, up to kKept of them.
  void give_back(AlignedMemory memory);

 private:
  static constexpr std::size_t kKept = 2;
  std::vector<AlignedMemory> free_;
};

}  // namespace muster::engine
