#pragma once
// A range of bytes of a file, of a tensor in the file, or of a buffer. Structs that are such a range and more derive
// from it, and say which of these they count in.

#include <cstdint>

namespace muster {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;

  [[nodiscard]] constexpr std::uint64_t end() const { return offset + bytes; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

}  // namespace muster
