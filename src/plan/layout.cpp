#include "plan/layout.hpp"

#include <algorithm>
#include <set>

#include "base/narrow.hpp"
#include "model/storage_order.hpp"

namespace muster::plan {

namespace {

std::vector<Dataset> tables(const WritePlan& plan, std::uint64_t extents) {
  std::vector<Dataset> datasets;
  const auto text = [](const std::string& path, std::uint64_t capacity) {
    return Dataset{.path = path, .kind = DatasetKind::text, .shape = {}, .bytes = capacity};
  };
  const auto table = [](const char* path, DatasetKind kind, std::uint64_t rows, std::uint64_t row_bytes) {
    return Dataset{.path = path, .kind = kind, .shape = {rows}, .bytes = rows * row_bytes};
  };
  datasets.push_back(text(kRunPath, kRunCapacityBytes));
  for (const auto& document : plan.documents) datasets.push_back(text(document.path, document.capacity_bytes));
  const auto ranks = narrow<std::uint64_t>(plan.world_size);
  datasets.push_back(table(kTelemetryPath, DatasetKind::telemetry, ranks, kTelemetryRowBytes));
  datasets.push_back(table(kIntegrityPath, DatasetKind::integrity, kIntegrityLeadRows + extents, kIntegrityRowBytes));
  return datasets;
}

std::uint64_t extent_count(const WritePlan& plan) {
  std::uint64_t count = 0;
  for (const auto& piece : plan.pieces) count += (piece.bytes + kMaxExtentBytes - 1) / kMaxExtentBytes;
  return count;
}

}  // namespace

std::uint64_t head_capacity_bytes(const std::vector<Dataset>& datasets, std::uint64_t alignment_bytes) {
  // Measured against HDF5 in layout_head_test: an object header takes 150 to 350 bytes with its datatype; a link is
  // stored in a fractal heap whose blocks double, so up to twice its size, with two B-tree records beside it.
  constexpr std::uint64_t kFile = 8192;
  constexpr std::uint64_t kDataset = 512;
  constexpr std::uint64_t kGroup = 2048;
  std::uint64_t bytes = kFile;
  std::set<std::string_view> groups;
  for (const auto& dataset : datasets) {
    const std::string_view path = dataset.path;
    const auto name_start = path.rfind('/') + 1;
    bytes += kDataset + 8 * dataset.shape.size() * 2 + 3 * (path.size() - name_start);
    for (auto slash = path.find('/', 1); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
      const auto group = path.substr(0, slash);
      if (groups.insert(group).second) bytes += kGroup + 3 * (group.size() - group.rfind('/'));
    }
  }
  return align_up(bytes, alignment_bytes);
}

Layout lay_out(const WritePlan& plan, std::uint64_t alignment_bytes) {
  Layout layout;
  layout.world_size = plan.world_size;
  layout.alignment_bytes = alignment_bytes;
  layout.datasets = tables(plan, extent_count(plan));
  const auto first_tensor = layout.datasets.size();
  for (const auto& tensor : plan.tensors) {
    const auto bytes = storage_bytes(tensor.dtype, tensor.shape, tensor.chunk_shape);
    layout.payload_bytes += bytes;
    layout.datasets.push_back(Dataset{.path = tensor.path,
                                      .kind = DatasetKind::tensor,
                                      .dtype = tensor.dtype,
                                      .shape = tensor.shape,
                                      .chunk_shape = tensor.chunk_shape,
                                      .bytes = bytes});
  }
  layout.head_bytes = head_capacity_bytes(layout.datasets, alignment_bytes);
  const auto threshold = aligned_threshold_bytes(alignment_bytes);
  std::uint64_t cursor = layout.head_bytes;
  for (std::size_t i = 0; i < layout.datasets.size(); ++i) {
    auto& dataset = layout.datasets[i];
    if (i == first_tensor) layout.tables_bytes = cursor - layout.head_bytes;
    if (dataset.bytes == 0) continue;
    if (dataset.bytes >= threshold) cursor = align_up(cursor, alignment_bytes);
    dataset.offset = cursor;
    cursor += dataset.bytes;
  }
  if (plan.tensors.empty()) layout.tables_bytes = cursor - layout.head_bytes;
  layout.file_bytes = cursor;
  for (const auto& piece : plan.pieces) {
    const auto dataset = narrow<std::uint32_t>(first_tensor + piece.tensor);
    const auto start = layout.datasets[dataset].offset + piece.first_byte;
    for (std::uint64_t done = 0; done < piece.bytes; done += kMaxExtentBytes) {
      layout.extents.push_back({dataset, piece.writer, start + done, std::min(kMaxExtentBytes, piece.bytes - done)});
    }
  }
  return layout;
}

std::uint64_t document_capacity_bytes(std::uint64_t bytes) {
  std::uint64_t capacity = 1024;
  while (capacity < bytes + 1) capacity *= 2;
  return capacity;
}

}  // namespace muster::plan
