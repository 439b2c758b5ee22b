#include "save/rank_report.hpp"

#include <algorithm>
#include <cstring>

#include "mpi/agree.hpp"

namespace muster::save {

namespace {

constexpr std::size_t kTextBytes = RankReport::kMaxMessageBytes + sizeof(std::uint64_t);

struct FixedPart {
  TelemetryRow telemetry;
  double blocked_s = 0;
  std::int64_t durable_ns = 0;
  double memcpy_bytes_per_s = 0;
  bool failed = false;
  ErrorKind kind = ErrorKind::internal;
  SavePhase phase = SavePhase::write;
};

// UTF-8 is not cut inside a character.
std::string_view cut(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) --bytes;
  return text.substr(0, bytes);
}

}  // namespace

std::size_t report_bytes(std::size_t extents) {
  return sizeof(FixedPart) + kTextBytes + extents * sizeof(std::uint64_t);
}

Bytes pack(const RankReport& report, std::size_t extents) {
  ByteWriter writer;
  writer.put(FixedPart{.telemetry = report.telemetry,
                       .blocked_s = report.blocked_s,
                       .durable_ns = report.durable_ns,
                       .memcpy_bytes_per_s = report.memcpy_bytes_per_s,
                       .failed = report.failure.has_value(),
                       .kind = report.failure ? report.failure->kind : ErrorKind::internal,
                       .phase = report.phase});
  for (std::size_t i = 0; i < extents; ++i) writer.put(i < report.hashes.size() ? report.hashes[i] : std::uint64_t{0});
  writer.put_text(report.failure ? cut(report.failure->message, RankReport::kMaxMessageBytes) : std::string_view());
  auto bytes = writer.take();
  bytes.resize(report_bytes(extents));
  return bytes;
}

RankReport unpack_report(std::span<const std::byte> bytes, int rank, std::size_t extents) {
  ByteReader reader(bytes);
  const auto fixed = reader.get<FixedPart>();
  RankReport report{.telemetry = fixed.telemetry,
                    .blocked_s = fixed.blocked_s,
                    .durable_ns = fixed.durable_ns,
                    .memcpy_bytes_per_s = fixed.memcpy_bytes_per_s,
                    .hashes = {},
                    .failure = std::nullopt,
                    .phase = fixed.phase};
  report.hashes.reserve(extents);
  for (std::size_t i = 0; i < extents; ++i) report.hashes.push_back(reader.get<std::uint64_t>());
  auto message = reader.get_text();
  if (fixed.failed) report.failure = RankFailure{rank, fixed.kind, std::move(message)};
  return report;
}

Bytes pack(const SaveOutcome& outcome) {
  constexpr std::size_t kRoomForTheRest = 64;
  ByteWriter writer;
  writer.put(outcome.sequence);
  writer.put(outcome.publish_s);
  writer.put(outcome.phase);
  // As many as fit; of the others the number.
  ByteWriter reports;
  std::uint64_t told = 0;
  for (const auto& failure : outcome.failures) {
    const std::string message(cut(failure.message, RankReport::kMaxMessageBytes));
    if (reports.bytes().size() + message.size() + kRoomForTheRest > SaveOutcome::kBytes - 2 * kRoomForTheRest) break;
    mpi::put(reports, {failure.rank, failure.kind, message});
    ++told;
  }
  writer.put(std::uint64_t{outcome.failures.size()});
  writer.put(told);
  auto bytes = writer.take();
  bytes.insert(bytes.end(), reports.bytes().begin(), reports.bytes().end());
  bytes.resize(SaveOutcome::kBytes);
  return bytes;
}

SaveOutcome unpack_outcome(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  SaveOutcome outcome;
  outcome.sequence = reader.get<std::uint64_t>();
  outcome.publish_s = reader.get<double>();
  outcome.phase = reader.get<SavePhase>();
  const auto failures = reader.get<std::uint64_t>();
  const auto told = reader.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < told; ++i) {
    outcome.failures.push_back(mpi::get_failure(reader));
  }
  if (failures > told && !outcome.failures.empty()) {
    outcome.failures.back().message += " (and " + std::to_string(failures - told) + " ranks more failed)";
  }
  return outcome;
}

}  // namespace muster::save
