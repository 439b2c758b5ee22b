#pragma once
// The rows of the tables, byte for byte as they lie in the file (little-endian).

#include <cstdint>
#include <type_traits>

#include "model/layout.hpp"

namespace muster::h5 {

struct IntegrityRow {
  std::uint64_t dataset = 0;  // HDF5 object reference: address of the dataset's object header; 0 in the lead rows
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t hash = 0;
  std::int32_t writer = 0;
  std::int32_t padding = 0;
};
static_assert(sizeof(IntegrityRow) == kIntegrityRowBytes && std::is_trivially_copyable_v<IntegrityRow>);

struct TelemetryRecord {
  std::int32_t rank = 0;
  std::int32_t node = 0;
  std::uint64_t bytes = 0;
  double agree_s = 0;
  double plan_s = 0;
  double open_s = 0;
  double write_s = 0;
  double sync_s = 0;
  double stage_s = 0;
};
static_assert(sizeof(TelemetryRecord) == kTelemetryRowBytes && std::is_trivially_copyable_v<TelemetryRecord>);

}  // namespace muster::h5
