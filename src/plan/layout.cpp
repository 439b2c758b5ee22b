#include "plan/layout.hpp"

#include <algorithm>
#include <set>

#include "base/narrow.hpp"
#include "model/storage_order.hpp"

namespace muster::plan {

namespace {

std::vector<Table> tables(const WritePlan& plan) {
  std::vector<Table> tables;
  const auto document = [](std::string path, std::uint64_t capacity_bytes) {
    return Table{{.bytes = capacity_bytes}, std::move(path)};
  };
  const auto table = [](const char* path, Table::Kind kind, std::uint64_t rows, std::uint64_t row_bytes) {
    return Table{{.bytes = rows * row_bytes}, path, kind, rows};
  };
  tables.push_back(document(kRunPath, kRunCapacityBytes));
  for (const auto& slot : plan.documents) tables.push_back(document(slot.path, slot.capacity_bytes));
  const auto ranks = narrow<std::uint64_t>(plan.world_size);
  tables.push_back(table(kTelemetryPath, Table::Kind::telemetry, ranks, kTelemetryRowBytes));
  const auto rows = kIntegrityLeadRows + plan.extents.size();
  tables.push_back(table(kIntegrityPath, Table::Kind::integrity, rows, kIntegrityRowBytes));
  return tables;
}

}  // namespace

std::uint64_t head_capacity_bytes(const Layout& layout) {
  // Measured against HDF5 in layout_head_test: an object header takes 150 to 350 bytes with its datatype; a link is
  // stored in a fractal heap whose blocks double, so up to twice its size, with two B-tree records beside it.
  constexpr std::uint64_t kFile = 8192;
  constexpr std::uint64_t kDataset = 512;
  constexpr std::uint64_t kGroup = 2048;
  std::uint64_t bytes = kFile;
  std::set<std::string_view> groups;
  const auto add = [&](std::string_view path, std::size_t dims) {
    const auto name_start = path.rfind('/') + 1;
    bytes += kDataset + 8 * dims * 2 + 3 * (path.size() - name_start);
    for (auto slash = path.find('/', 1); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
      const auto group = path.substr(0, slash);
      if (groups.insert(group).second) bytes += kGroup + 3 * (group.size() - group.rfind('/'));
    }
  };
  for (const auto& table : layout.tables) add(table.path, table.kind == Table::Kind::document ? 0 : 1);
  for (const auto& tensor : layout.tensors) add(tensor.path, tensor.shape.size());
  return align_up(bytes, layout.alignment_bytes);
}

Layout lay_out(WritePlan plan, std::uint64_t alignment_bytes) {
  Layout layout;
  layout.world_size = plan.world_size;
  layout.alignment_bytes = alignment_bytes;
  layout.tables = tables(plan);
  layout.tensors = std::move(plan.tensors);
  layout.extents = std::move(plan.extents);
  layout.head_bytes = head_capacity_bytes(layout);
  std::uint64_t end = layout.head_bytes;
  const auto place = [&](ByteRange& dataset) {
    if (dataset.bytes == 0) return;
    if (dataset.bytes >= aligned_threshold_bytes(alignment_bytes)) end = align_up(end, alignment_bytes);
    dataset.offset = end;
    end += dataset.bytes;
  };
  std::ranges::for_each(layout.tables, place);
  layout.tables_bytes = end - layout.head_bytes;
  for (auto& tensor : layout.tensors) {
    place(tensor);
    layout.payload_bytes += tensor.bytes;
  }
  layout.file_bytes = end;
  for (auto& extent : layout.extents) extent.offset += layout.tensors[extent.tensor].offset;
  return layout;
}

std::uint64_t document_capacity_bytes(std::uint64_t bytes) {
  std::uint64_t capacity = 1024;
  while (capacity < bytes + 1) capacity *= 2;
  return capacity;
}

}  // namespace muster::plan
