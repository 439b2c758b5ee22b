#pragma once
// What a rank tells rank 0 when its bytes are durable, or why they are not. Pure.

#include <exception>
#include <muster/error.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "model/catalog.hpp"

namespace muster::save {

// The size of a report is known beforehand from the number of the rank's extents, so that all of them travel in one
// gather.
struct RankReport {
  static constexpr std::size_t kMaxMessageBytes = 1024;

  TelemetryRow telemetry;
  double blocked_s = 0;                // that the program waited in the call
  std::int64_t durable_ns = 0;         // when its bytes were, on the node's clock
  double memcpy_bytes_per_s = 0;       // what memcpy reaches on this rank; 0: not measured
  std::vector<std::uint64_t> hashes;   // of the rank's extents, in the layout's order; of no meaning in a failure
  std::optional<RankFailure> failure;  // of this rank
  SavePhase phase = SavePhase::write;  // and in which phase
};

std::size_t report_bytes(std::size_t extents);
Bytes pack(const RankReport& report, std::size_t extents);
RankReport unpack_report(std::span<const std::byte> bytes, int rank, std::size_t extents);

// How a save ended, as rank 0 tells all. Of fixed size on the way: what does not fit is cut short.
struct SaveOutcome {
  static constexpr std::size_t kBytes = 16 << 10;
  SavePhase phase = SavePhase::publish;  // of the failures
  std::vector<RankFailure> failures;     // none: published
  std::uint64_t sequence = 0;
  double publish_s = 0;  // from the last rank durable to the tag published
};

Bytes pack(const SaveOutcome& outcome);
SaveOutcome unpack_outcome(std::span<const std::byte> bytes);

}  // namespace muster::save
