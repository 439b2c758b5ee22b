#pragma once
// A buffer on its way to the file, with what is known of the bytes in it.

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/aligned_memory.hpp"
#include "base/direct_file.hpp"
#include "model/byte_range.hpp"

namespace muster::engine {

// Bytes of a buffer on their way to one place in the file.
struct Segment : ByteRange {  // of the file
  std::size_t at = 0;         // in the buffer; congruent to the offset modulo the file's block
};

// Bytes of a buffer that belong to one extent.
struct ExtentPart : ByteRange {  // of the buffer
  bool ends_extent = false;
};

struct StagingBuffer {
  [[nodiscard]] std::span<std::byte> bytes() const { return borrowed.empty() ? memory.bytes() : borrowed; }
  [[nodiscard]] std::uint64_t segment_bytes() const {
    return std::accumulate(segments.begin(), segments.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Segment& segment) { return sum + segment.bytes; });
  }
  void write_to(posix::DirectFile& file) const {
    for (const auto& segment : segments) file.write_at(bytes().subspan(segment.at, segment.bytes), segment.offset);
  }

  AlignedMemory memory;
  std::span<std::byte> borrowed;  // page-aligned memory of somebody else's, where it has none itself
  std::vector<Segment> segments;
  std::vector<ExtentPart> parts;  // in the order of the extents; where hashing is left for later
};

}  // namespace muster::engine
