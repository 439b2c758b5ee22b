#include "h5/catalog_reader.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <muster/version.hpp>
#include <optional>
#include <unordered_map>

#include "base/bytes.hpp"
#include "base/hash.hpp"
#include "base/posix.hpp"
#include "h5/datatype.hpp"
#include "h5/datatype_text.hpp"
#include "h5/handle.hpp"
#include "h5/locking.hpp"
#include "h5/run_json.hpp"
#include "h5/storage.hpp"
#include "h5/table_rows.hpp"
#include "model/storage_order.hpp"

namespace muster::h5 {

namespace {

constexpr int kFormatVersion = 1;
constexpr std::uint64_t kMaxTableBytes = std::uint64_t{1} << 36;

[[noreturn]] void corrupt(const std::string& why) { throw Error(ErrorKind::corrupt, why); }

// A dataset as the head declares it, a table or a tensor.
struct Declared : StoredTensor {
  std::uint64_t address = 0;
  bool is_text = false;
  bool is_tensor = false;
};

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : raw_(path, O_RDONLY), file_bytes_(raw_.size()), file_(open(path)) {}

  // Reads and checks /integrity and the two regions whose hashes it begins with, and /run.
  RunInfo read_lead() {
    integrity_ = declared(kIntegrityPath);
    if (integrity_.bytes < kIntegrityLeadRows * kIntegrityRowBytes) corrupt("/integrity has no lead rows");
    std::array<IntegrityRow, kIntegrityLeadRows> lead;
    read(std::as_writable_bytes(std::span(lead)), integrity_.offset);
    head_bytes_ = lead[0].bytes;
    if (lead[0].offset != 0 || lead[1].offset != head_bytes_) corrupt("the lead rows of /integrity are damaged");
    const auto head = bytes_at(0, head_bytes_);
    if (hash_bytes(head) != lead[0].hash) {
      corrupt(fmt::format("the head, bytes [0, {}), hashes to {}, saved was {}", head_bytes_,
                          hash_text(hash_bytes(head)), hash_text(lead[0].hash)));
    }
    tables_ = bytes_at(head_bytes_, lead[1].bytes);
    zero_own_hash();
    if (hash_bytes(tables_) != lead[1].hash) {
      corrupt(fmt::format("the tables, bytes [{}, {}), hash to {}, saved was {}", head_bytes_,
                          head_bytes_ + tables_.size(), hash_text(hash_bytes(tables_)), hash_text(lead[1].hash)));
    }
    auto run = run_from_text(text(declared(kRunPath)));
    if (run.format_version != kFormatVersion) {
      corrupt(fmt::format("format version {}; this muster reads version {}", run.format_version, kFormatVersion));
    }
    if (run.file_bytes != file_bytes_) {
      corrupt(fmt::format("the file has {} bytes, saved were {}", file_bytes_, run.file_bytes));
    }
    return run;
  }

  Catalog read_all() {
    Catalog catalog;
    catalog.run = read_lead();
    catalog.world_size = catalog.run.world_size;
    catalog.payload_bytes = catalog.run.payload_bytes;
    catalog.file_bytes = catalog.run.file_bytes;
    catalog.head_bytes = head_bytes_;
    catalog.tables_bytes = tables_.size();
    visit(file_.get(), "", 0);
    std::stable_sort(found_.begin(), found_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.bytes == 0, a.offset) < std::pair(b.bytes == 0, b.offset);
    });
    std::unordered_map<std::uint64_t, std::uint32_t> tensor_at;
    for (auto& dataset : found_) {
      if (dataset.is_tensor) {
        tensor_at[dataset.address] = static_cast<std::uint32_t>(catalog.tensors.size());
        catalog.tensors.push_back(std::move(static_cast<StoredTensor&>(dataset)));
      } else {
        add_table(dataset, catalog);
      }
    }
    read_extents(tensor_at, catalog);
    return catalog;
  }

 private:
  static File open(const std::filesystem::path& path) {
    const PropertyList access(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate");
    // One read brings a megabyte of metadata at a time.
    check(H5Pset_meta_block_size(access.get(), 1 << 20), "H5Pset_meta_block_size");
    disable_locking(access.get());
    return {H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), "open as HDF5"};
  }

  Declared declared(const char* path) {
    const DatasetHandle handle(H5Dopen2(file_.get(), path, H5P_DEFAULT), std::string("open ") + path);
    return describe(handle.get(), path);
  }

  Declared describe(hid_t handle, const std::string& path) {
    Declared dataset;
    dataset.path = path;
    const Datatype type(H5Dget_type(handle), "H5Dget_type");
    dataset.is_text = H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0;
    const bool is_table = path == kIntegrityPath || path == kTelemetryPath;
    const auto dtype = dtype_of(type.get());
    dataset.is_tensor = dtype && !is_table;
    dataset.dtype = dtype.value_or(DType::uint8);
    if (!dataset.is_tensor && !dataset.is_text && !is_table) {
      corrupt(
          fmt::format("{} has an HDF5 datatype that muster {} does not know: {}. A newer muster may have written it",
                      path, kVersion, to_text(type.get())));
    }
    const Dataspace space(H5Dget_space(handle), "H5Dget_space");
    const int rank = H5Sget_simple_extent_ndims(space.get());
    if (rank < 0) fail("H5Sget_simple_extent_ndims");
    std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
    if (rank > 0) check(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), "H5Sget_simple_extent_dims");
    dataset.shape.assign(dims.begin(), dims.end());
    dataset.chunk_shape = chunk_shape(handle, dataset.shape, path);
    const auto elements = dataset.chunk_shape.empty() ? element_count(dataset.shape)
                                                      : StorageOrder(dataset.shape, dataset.chunk_shape).elements();
    dataset.bytes = H5Tget_size(type.get()) * elements;
    hobj_ref_t reference = 0;
    check(H5Rcreate(&reference, handle, ".", H5R_OBJECT, H5I_INVALID_HID), "H5Rcreate");
    dataset.address = reference;
    if (!dataset.chunk_shape.empty() && !dataset.is_tensor) corrupt(path + " is no tensor and lies in chunks");
    if (dataset.bytes > file_bytes_) {
      corrupt(fmt::format("{} has {} bytes, more than the file, which has {}", path, dataset.bytes, file_bytes_));
    }
    if (dataset.bytes > 0) {
      const auto offset = storage_offset(handle, path);
      dataset.offset = offset;
      if (offset > file_bytes_ || dataset.bytes > file_bytes_ - offset) {
        corrupt(fmt::format("{}, bytes [{}, {}), does not lie inside the file of {} bytes", path, offset,
                            offset + dataset.bytes, file_bytes_));
      }
    }
    // Documents lie among the tables; a text in the payload is a tensor.
    if (dataset.is_text && dataset.offset >= head_bytes_ + tables_.size()) {
      dataset.is_tensor = true;
      dataset.dtype = DType::text;
      dataset.shape = {dataset.bytes};
    }
    return dataset;
  }

#if H5_VERSION_GE(1, 12, 0)
  using LinkInfo = H5L_info2_t;
#else
  using LinkInfo = H5L_info_t;
#endif

  static herr_t collect_name(hid_t, const char* name, const LinkInfo*, void* data) {
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
    return 0;
  }

  void visit(hid_t group, const std::string& prefix, int depth) {
    if (depth > kMaxGroupDepth) corrupt("groups nest deeper than muster writes them");
    std::vector<std::string> names;
    check(H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, &collect_name, &names), "list " + prefix + "/");
    for (const auto& name : names) {
      const auto path = prefix + "/" + name;
      const Handle<H5Oclose> object(H5Oopen(group, name.c_str(), H5P_DEFAULT), "open " + path);
      const auto kind = H5Iget_type(object.get());
      if (kind == H5I_DATASET) {
        found_.push_back(describe(object.get(), path));
      } else if (kind == H5I_GROUP) {
        visit(object.get(), path, depth + 1);
      } else {
        corrupt(path + " is neither a group nor a dataset");
      }
    }
  }

  void add_table(const Declared& dataset, Catalog& catalog) {
    auto kind = Table::Kind::document;
    if (dataset.path == kIntegrityPath) {
      kind = Table::Kind::integrity;
    } else if (dataset.path == kTelemetryPath) {
      kind = Table::Kind::telemetry;
      read_telemetry(dataset, catalog);
    } else if (dataset.path != kRunPath) {
      catalog.documents[dataset.path] = text(dataset);
    }
    catalog.tables.push_back({dataset, dataset.path, kind, dataset.shape.empty() ? 0 : dataset.shape.front()});
  }

  void read_telemetry(const Declared& dataset, Catalog& catalog) {
    if (dataset.bytes % kTelemetryRowBytes != 0) corrupt("/telemetry has rows of another size");
    std::vector<TelemetryRecord> rows(dataset.bytes / kTelemetryRowBytes);
    read(std::as_writable_bytes(std::span(rows)), dataset.offset);
    for (const auto& row : rows) {
      auto& read = catalog.telemetry.emplace_back(TelemetryRow{row.rank, row.node, row.bytes});
      for (std::size_t i = 0; i < kTelemetryPhases.size(); ++i) read.seconds[kTelemetryPhases[i]] = row.seconds[i];
    }
  }

  // The rows must cover every tensor from its first byte to its last, all in the order of the file.
  void read_extents(const std::unordered_map<std::uint64_t, std::uint32_t>& tensor_at, Catalog& catalog) {
    if (integrity_.bytes % kIntegrityRowBytes != 0) corrupt("/integrity has rows of another size");
    std::vector<IntegrityRow> rows(integrity_.bytes / kIntegrityRowBytes);
    read(std::as_writable_bytes(std::span(rows)), integrity_.offset);
    std::vector<std::uint64_t> covered(catalog.tensors.size(), 0);
    for (std::size_t i = kIntegrityLeadRows; i < rows.size(); ++i) {
      const auto& row = rows[i];
      const auto found = tensor_at.find(row.dataset);
      if (found == tensor_at.end()) corrupt(fmt::format("row {} of /integrity names no tensor", i));
      const auto& tensor = catalog.tensors[found->second];
      auto& done = covered[found->second];
      if (!catalog.extents.empty() && row.offset < catalog.extents.back().offset) {
        corrupt(fmt::format("row {} of /integrity is out of order", i));
      }
      if (row.offset != tensor.offset + done || row.bytes == 0 || row.bytes > kMaxExtentBytes ||
          row.bytes > tensor.bytes - done) {
        corrupt(fmt::format("row {} of /integrity does not fit {}", i, tensor.path));
      }
      done += row.bytes;
      catalog.extents.push_back({{row.offset, row.bytes}, found->second, row.writer});
      catalog.hashes.push_back(row.hash);
    }
    for (std::size_t i = 0; i < covered.size(); ++i) {
      if (covered[i] == catalog.tensors[i].bytes) continue;
      corrupt(fmt::format("/integrity covers {} of the {} bytes of {}", covered[i], catalog.tensors[i].bytes,
                          catalog.tensors[i].path));
    }
  }

  void zero_own_hash() {
    const auto position = integrity_.offset + kIntegrityRowBytes + offsetof(IntegrityRow, hash);
    if (position < head_bytes_ || position + sizeof(std::uint64_t) > head_bytes_ + tables_.size()) {
      corrupt("/integrity does not lie among the tables");
    }
    std::memset(tables_.data() + (position - head_bytes_), 0, sizeof(std::uint64_t));
  }

  std::string text(const Declared& dataset) {
    if (!dataset.is_text) corrupt(dataset.path + " is not a text");
    const auto bytes = bytes_at(dataset.offset, dataset.bytes);
    const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
    return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(end - bytes.begin())};
  }

  Bytes bytes_at(std::uint64_t offset, std::uint64_t bytes) {
    if (bytes > kMaxTableBytes || offset > file_bytes_ || bytes > file_bytes_ - offset) {
      corrupt(
          fmt::format("bytes [{}, {}) do not lie inside the file of {} bytes", offset, offset + bytes, file_bytes_));
    }
    Bytes result(bytes);
    read(result, offset);
    return result;
  }

  void read(std::span<std::byte> to, std::uint64_t offset) { raw_.read_at(to, offset); }

  posix::File raw_;
  std::uint64_t file_bytes_;
  File file_;
  Declared integrity_;
  std::uint64_t head_bytes_ = 0;
  Bytes tables_;
  std::vector<Declared> found_;
};

// Whatever HDF5 stumbles over in a file that the system could open is damage; the message begins with the file.
template <class Read>
auto naming(const std::filesystem::path& path, Read&& read) {
  const QuietErrors quiet;
  // Looked at before it is opened: the open of a FIFO would wait for a writer.
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) {
    throw Error(ErrorKind::corrupt, path.string() + ": not a regular file");
  }
  posix::File(path, O_RDONLY).close();
  try {
    return read();
  } catch (const Hdf5Error& error) {
    throw Error(ErrorKind::corrupt, path.string() + ": " + error.what());
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::io) throw;  // the system's own, with the path in it
    throw Error(ErrorKind::corrupt, path.string() + ": " + error.what());
  }
}

}  // namespace

Catalog read_catalog(const std::filesystem::path& path) {
  return naming(path, [&] { return Reader(path).read_all(); });
}

RunInfo read_run(const std::filesystem::path& path) {
  return naming(path, [&] { return Reader(path).read_lead(); });
}

}  // namespace muster::h5
