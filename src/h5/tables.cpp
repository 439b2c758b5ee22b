#include "h5/tables.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>

#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "h5/run_json.hpp"
#include "h5/table_rows.hpp"

namespace muster::h5 {

namespace {

class Encoder {
 public:
  explicit Encoder(const Layout& layout) : layout_(layout), bytes_(layout.tables_bytes) {}

  void put_text(const Table& table, const std::string& text) {
    if (text.size() >= table.bytes) {
      throw Error(ErrorKind::internal,
                  fmt::format("{} has {} bytes, the file has space for {}", table.path, text.size(), table.bytes - 1));
    }
    put(table.offset, as_bytes(text));
  }

  template <class Row>
  void put_rows(const Table& table, const std::vector<Row>& rows) {
    put(table.offset, std::as_bytes(std::span(rows)));
  }

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  void put(std::uint64_t offset, std::span<const std::byte> from) {
    if (!from.empty()) std::memcpy(bytes_.data() + (offset - layout_.head_bytes), from.data(), from.size());
  }

  const Layout& layout_;
  Bytes bytes_;
};

std::vector<TelemetryRecord> telemetry_records(const std::vector<TelemetryRow>& rows) {
  std::vector<TelemetryRecord> records;
  records.reserve(rows.size());
  for (const auto& row : rows) {
    auto& record = records.emplace_back(TelemetryRecord{row.rank, row.node, row.bytes});
    for (std::size_t i = 0; i < kTelemetryPhases.size(); ++i) record.seconds[i] = row.seconds[kTelemetryPhases[i]];
  }
  return records;
}

std::vector<IntegrityRow> integrity_rows(const Layout& layout, const Head& head,
                                         const std::vector<std::uint64_t>& hashes) {
  if (hashes.size() != layout.extents.size()) throw Error(ErrorKind::internal, "a hash for each extent");
  std::vector<IntegrityRow> rows;
  rows.push_back({.bytes = layout.head_bytes, .hash = hash_bytes(head.bytes)});
  rows.push_back({.offset = layout.head_bytes, .bytes = layout.tables_bytes});
  for (std::size_t i = 0; i < layout.extents.size(); ++i) {
    const auto& extent = layout.extents[i];
    rows.push_back({.dataset = head.object_addresses[extent.tensor],
                    .offset = extent.offset,
                    .bytes = extent.bytes,
                    .hash = hashes[i],
                    .writer = extent.writer});
  }
  return rows;
}

}  // namespace

Bytes encode_tables(const Layout& layout, const Head& head, const TableContents& contents) {
  Encoder encoder(layout);
  for (const auto& table : layout.tables) {
    if (table.kind == Table::Kind::telemetry) encoder.put_rows(table, telemetry_records(contents.telemetry));
    if (table.kind != Table::Kind::document) continue;
    if (table.path == kRunPath) {
      encoder.put_text(table, to_text(contents.run));
    } else {
      encoder.put_text(table, contents.documents.at(table.path));
    }
  }
  // The row of the tables hashes them with its own hash still zero, so it is filled in last.
  auto rows = integrity_rows(layout, head, contents.hashes);
  const auto& integrity = *layout.find_table(kIntegrityPath);
  encoder.put_rows(integrity, rows);
  rows[1].hash = hash_bytes(encoder.bytes());
  encoder.put_rows(integrity, rows);
  return encoder.take();
}

}  // namespace muster::h5
