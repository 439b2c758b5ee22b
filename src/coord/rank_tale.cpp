#include "coord/rank_tale.hpp"

#include <algorithm>
#include <cstring>

namespace muster::coord {

namespace {

constexpr std::size_t kMaxPhaseBytes = 16;
constexpr std::size_t kTextBytes = kMaxPhaseBytes + RankTale::kMaxMessageBytes + 2 * sizeof(std::uint64_t);

struct FixedPart {
  TelemetryRow telemetry;
  double blocked_s = 0;
  std::int64_t durable_ns = 0;
  double memcpy_bytes_per_s = 0;
  bool failed = false;
  ErrorKind kind = ErrorKind::internal;
};

// UTF-8 is not cut inside a character.
std::string_view cut(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) --bytes;
  return text.substr(0, bytes);
}

}  // namespace

std::size_t tale_bytes(std::size_t extents) { return sizeof(FixedPart) + kTextBytes + extents * sizeof(std::uint64_t); }

Bytes pack(const RankTale& tale, std::size_t extents) {
  ByteWriter writer;
  writer.put(FixedPart{.telemetry = tale.telemetry,
                       .blocked_s = tale.blocked_s,
                       .durable_ns = tale.durable_ns,
                       .memcpy_bytes_per_s = tale.memcpy_bytes_per_s,
                       .failed = tale.failure.has_value(),
                       .kind = tale.failure ? tale.failure->kind : ErrorKind::internal});
  for (std::size_t i = 0; i < extents; ++i) writer.put(i < tale.hashes.size() ? tale.hashes[i] : std::uint64_t{0});
  writer.put_text(cut(tale.phase, kMaxPhaseBytes));
  writer.put_text(tale.failure ? cut(tale.failure->message, RankTale::kMaxMessageBytes) : std::string_view());
  auto bytes = writer.take();
  bytes.resize(tale_bytes(extents));
  return bytes;
}

RankTale unpack_tale(std::span<const std::byte> bytes, int rank, std::size_t extents) {
  ByteReader reader(bytes);
  const auto fixed = reader.get<FixedPart>();
  RankTale tale{.telemetry = fixed.telemetry,
                .blocked_s = fixed.blocked_s,
                .durable_ns = fixed.durable_ns,
                .memcpy_bytes_per_s = fixed.memcpy_bytes_per_s,
                .hashes = {},
                .failure = std::nullopt,
                .phase = {}};
  tale.hashes.reserve(extents);
  for (std::size_t i = 0; i < extents; ++i) tale.hashes.push_back(reader.get<std::uint64_t>());
  tale.phase = reader.get_text();
  auto message = reader.get_text();
  if (fixed.failed) tale.failure = RankFailure{rank, fixed.kind, std::move(message)};
  return tale;
}

Bytes pack(const Verdict& verdict) {
  constexpr std::size_t kRoomForTheRest = 64;
  ByteWriter writer;
  writer.put(verdict.sequence);
  writer.put(verdict.publish_s);
  writer.put_text(cut(verdict.phase, kMaxPhaseBytes));
  // As many as fit; of the others the number.
  ByteWriter reports;
  std::uint64_t told = 0;
  for (const auto& failure : verdict.failures) {
    const auto message = cut(failure.message, RankTale::kMaxMessageBytes);
    if (reports.bytes().size() + message.size() + kRoomForTheRest > Verdict::kBytes - 2 * kRoomForTheRest) break;
    reports.put(std::int32_t{failure.rank});
    reports.put(failure.kind);
    reports.put_text(message);
    ++told;
  }
  writer.put(std::uint64_t{verdict.failures.size()});
  writer.put(told);
  auto bytes = writer.take();
  bytes.insert(bytes.end(), reports.bytes().begin(), reports.bytes().end());
  bytes.resize(Verdict::kBytes);
  return bytes;
}

Verdict unpack_verdict(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Verdict verdict;
  verdict.sequence = reader.get<std::uint64_t>();
  verdict.publish_s = reader.get<double>();
  verdict.phase = reader.get_text();
  const auto failures = reader.get<std::uint64_t>();
  const auto told = reader.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < told; ++i) {
    RankFailure failure;
    failure.rank = reader.get<std::int32_t>();
    failure.kind = reader.get<ErrorKind>();
    failure.message = reader.get_text();
    verdict.failures.push_back(std::move(failure));
  }
  if (failures > told && !verdict.failures.empty()) {
    verdict.failures.back().message += " (and " + std::to_string(failures - told) + " ranks more failed)";
  }
  return verdict;
}

}  // namespace muster::coord
