#pragma once
// The rows of the tables, byte for byte as they lie in the file (little-endian).

#include <array>
#include <cstdint>
#include <type_traits>

#include "model/layout.hpp"
#include "model/save_phase.hpp"

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

// The order in which /telemetry has them: phases that are added come last.
inline constexpr std::array kTelemetryPhases{SavePhase::agree, SavePhase::plan, SavePhase::open,
                                             SavePhase::write, SavePhase::sync, SavePhase::stage};

struct TelemetryRecord {
  std::int32_t rank = 0;
  std::int32_t node = 0;
  std::uint64_t bytes = 0;
  std::array<double, kTelemetryPhases.size()> seconds{};
};
static_assert(sizeof(TelemetryRecord) == kTelemetryRowBytes && std::is_trivially_copyable_v<TelemetryRecord>);

}  // namespace muster::h5
