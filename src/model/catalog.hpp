#pragma once
// What a checkpoint file says of itself, as read back. Pure data.

#include <cstdint>
#include <muster/state.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace muster {

// The document /run.
struct RunInfo {
  int format_version = 1;
  std::string tag;
  std::optional<std::int64_t> step;
  std::uint64_t sequence = 0;
  std::string saved_at;  // UTC, ISO 8601
  int world_size = 1;
  std::uint64_t payload_bytes = 0;
  std::uint64_t file_bytes = 0;
  nlohmann::json details;  // grid, engine and its reason, versions; for people
};

// A tensor and where its bytes lie.
struct CatalogTensor {
  std::string path;
  DType dtype = DType::float32;
  Shape shape;
  std::uint64_t bytes = 0;  // padding of chunks included
  std::uint64_t offset = 0;
  Shape chunk_shape = {};  // of a chunk; empty: contiguous
};

struct CatalogDocument {
  std::string path;
  std::string text;
};

// A row of /integrity behind the lead rows.
struct CatalogExtent {
  std::uint32_t tensor = 0;  // index into Catalog::tensors
  int writer = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t hash = 0;
};

// A row of /telemetry: what one rank did in this save, up to the write.
struct TelemetryRow {
  int rank = 0;
  int node = 0;
  std::uint64_t bytes = 0;  // that it wrote
  double agree_s = 0;
  double plan_s = 0;
  double open_s = 0;
  double stage_s = 0;  // copying into staging memory, of a background save
  double write_s = 0;
  double sync_s = 0;
};

struct Catalog {
  RunInfo run;
  std::uint64_t head_bytes = 0;
  std::uint64_t tables_bytes = 0;
  std::vector<CatalogTensor> tensors;      // by file offset
  std::vector<CatalogDocument> documents;  // all but /run
  std::vector<CatalogExtent> extents;      // by file offset
  std::vector<TelemetryRow> telemetry;
};

}  // namespace muster
