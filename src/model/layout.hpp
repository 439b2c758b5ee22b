#pragma once
// Where everything lies in the file. Pure data; docs/reference/format.md is the specification.

#include <cstdint>
#include <muster/state.hpp>
#include <string>
#include <vector>

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

enum class DatasetKind : std::uint8_t { text, integrity, telemetry, tensor };

// One dataset, in the order in which the head declares them.
struct Dataset {
  std::string path;
  DatasetKind kind = DatasetKind::tensor;
  DType dtype = DType::uint8;  // of a tensor
  Shape shape;                 // of a tensor; {rows} of a table
  Shape chunk_shape = {};      // of a tensor in chunks: the shape of a chunk; empty: contiguous
  std::uint64_t bytes = 0;     // padding of chunks included
  std::uint64_t offset = 0;    // in the file; meaningless where bytes is 0
};

// One contiguous run of bytes in the file with one writer and one hash.
struct Extent {
  std::uint32_t dataset = 0;  // index into Layout::datasets
  int writer = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
};

struct Layout {
  int world_size = 1;
  std::uint64_t alignment_bytes = 4096;
  std::uint64_t head_bytes = 0;    // [0, head_bytes): HDF5 metadata, then zeros
  std::uint64_t tables_bytes = 0;  // [head_bytes, head_bytes + tables_bytes): text documents and tables
  std::uint64_t payload_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::vector<Dataset> datasets;  // texts and tables first, then tensors in file order
  std::vector<Extent> extents;    // by offset

  [[nodiscard]] const Dataset* find(const std::string& path) const {
    for (const auto& dataset : datasets) {
      if (dataset.path == path) return &dataset;
    }
    return nullptr;
  }
};

// How many extents each rank writes.
inline std::vector<std::size_t> extents_of_ranks(const Layout& layout) {
  std::vector<std::size_t> extents(static_cast<std::size_t>(layout.world_size));
  for (const auto& extent : layout.extents) ++extents[static_cast<std::size_t>(extent.writer)];
  return extents;
}

}  // namespace muster
