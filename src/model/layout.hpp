#pragma once
// Where everything lies in the file. Pure data; docs/reference/format.md is the specification.

#include <algorithm>
#include <cstdint>
#include <muster/state.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/byte_range.hpp"

namespace muster {

// Paths that muster gives a meaning of its own.
inline constexpr const char* kRunPath = "/run";
inline constexpr const char* kIntegrityPath = "/integrity";
inline constexpr const char* kTelemetryPath = "/telemetry";
inline constexpr const char* kUserContentPath = "/user_content";

inline constexpr std::uint64_t kRunCapacityBytes = 4096;
inline constexpr std::uint64_t kIntegrityRowBytes = 40;
inline constexpr std::uint64_t kTelemetryRowBytes = 64;
// Extents are cut to this size, so that a reader can check and share out a large tensor piece by piece.
inline constexpr std::uint64_t kMaxExtentBytes = std::uint64_t{16} << 20;
// The first rows of /integrity speak of the head and of the tables, not of extents.
inline constexpr std::uint64_t kIntegrityLeadRows = 2;

// What HDF5 allows, and how many groups a reader follows one into the other.
inline constexpr std::size_t kMaxDims = 32;
inline constexpr int kMaxGroupDepth = 8;

// Datasets of at least this size start at a multiple of the alignment; smaller ones are packed without gaps.
constexpr std::uint64_t aligned_threshold_bytes(std::uint64_t alignment_bytes) { return 4 * alignment_bytes; }

// A dataset of muster's own: a document, or one of the two tables. The range is of the file.
struct Table : ByteRange {
  enum class Kind : std::uint8_t { document, integrity, telemetry };
  std::string path;
  Kind kind = Kind::document;
  std::uint64_t rows = 0;  // 0: a document
};

// A tensor as it lies in the file. The range is of the file, padding of chunks included; the offset is meaningless
// where there are no bytes.
struct StoredTensor : TensorDescription, ByteRange {
  Shape chunk_shape = {};  // empty: row-major, HDF5's contiguous
};

// A byte range of one tensor with one writer and one hash, up to kMaxExtentBytes. The range is of the file.
struct Extent : ByteRange {
  std::uint32_t tensor = 0;  // index into Layout::tensors
  int writer = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};

// Extents [first_extent, first_extent + extents) of a layout and the range of the file that they span: what lies
// between two of them is padding.
struct ExtentRun : ByteRange {
  std::uint32_t first_extent = 0;
  std::uint32_t extents = 0;
};

struct Layout {
  int world_size = 1;
  std::uint64_t head_bytes = 0;    // [0, head_bytes): HDF5 metadata, then zeros
  std::uint64_t tables_bytes = 0;  // [head_bytes, head_bytes + tables_bytes): documents and tables
  std::uint64_t payload_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t alignment_bytes = 0;  // of a layout that is read from a file: 0, not known
  std::vector<Table> tables;          // the head declares them first, in this order,
  std::vector<StoredTensor> tensors;  // and then these
  std::vector<Extent> extents;        // by offset

  // Null where there is none of this path.
  [[nodiscard]] const Table* find_table(std::string_view path) const {
    const auto found = std::ranges::find(tables, path, &Table::path);
    return found == tables.end() ? nullptr : &*found;
  }
};

// How many extents each rank writes.
inline std::vector<std::size_t> extents_of_ranks(const Layout& layout) {
  std::vector<std::size_t> extents(static_cast<std::size_t>(layout.world_size));
  for (const auto& extent : layout.extents) ++extents[static_cast<std::size_t>(extent.writer)];
  return extents;
}

}  // namespace muster
