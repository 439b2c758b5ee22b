#include "engine/read_buffer_cache.hpp"

#include <algorithm>

#include "base/direct_file.hpp"
#include "model/layout.hpp"

namespace muster::engine {

AlignedMemory ReadBufferCache::take(std::size_t bytes) {
  const auto fits = std::ranges::find_if(free_, [&](const auto& memory) { return memory.size() >= bytes; });
  // All of one size or larger, so that what one load gives back the next one can take.
  constexpr std::size_t kSmallest = posix::room_for_blocks(kMaxExtentBytes);
  if (fits == free_.end()) return AlignedMemory(std::max(bytes, kSmallest));
  auto memory = std::move(*fits);
  free_.erase(fits);
  return memory;
}

void ReadBufferCache::give_back(AlignedMemory memory) {
  if (free_.size() < kKept) free_.push_back(std::move(memory));
}

}  // namespace muster::engine
