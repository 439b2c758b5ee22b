#pragma once
// Moving bytes between memory and a file with nothing in between: whole chunks, so many in flight. Local.

#include <cstdint>
#include <vector>

#include "base/posix.hpp"
#include "bench/aligned_buffer.hpp"

namespace muster::bench {

inline constexpr std::uint64_t kChunkBytes = std::uint64_t{16} << 20;
// Offsets and sizes of transfers past the page cache are multiples of this.
inline constexpr std::uint64_t kBlockBytes = 4096;
inline constexpr int kMaxDepth = 4;

enum class Direction : std::uint8_t { write, read };

class RawTransfer {
 public:
  // Allocates and touches the buffers of all depths.
  RawTransfer();
  // Moves bytes [offset, offset + bytes) of the file, both multiples of kBlockBytes, with `depth` chunks in flight,
  // each on a thread of its own. What is read is dropped.
  void run(const posix::File& file, Direction direction, std::uint64_t offset, std::uint64_t bytes, int depth) const;

 private:
  std::vector<AlignedBuffer> buffers_;
};

}  // namespace muster::bench
