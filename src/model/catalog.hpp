#pragma once
// What a checkpoint file says of itself. Pure data.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "model/layout.hpp"
#include "model/save_phase.hpp"

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

// A row of /telemetry: what one rank did in this save, up to the commit.
struct TelemetryRow {
  int rank = 0;
  int node = 0;
  std::uint64_t bytes = 0;  // that it wrote
  PhaseSeconds seconds = {};
};

// All that differs between two saves of the same layout but for the payload: what the tables hold.
struct TableContents {
  RunInfo run;
  std::map<std::string, std::string> documents;  // text by path; all but /run
  std::vector<std::uint64_t> hashes;             // XXH3 of each extent of the layout
  std::vector<TelemetryRow> telemetry;           // one row a rank
};

// All that a reader knows of a file.
struct Catalog : Layout, TableContents {};

}  // namespace muster
