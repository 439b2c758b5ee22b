#include "engine/collective.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <optional>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "engine/chunk_boxes.hpp"
#include "h5/datatype.hpp"
#include "h5/handle.hpp"
#include "h5/selection.hpp"
#include "model/dtypes.hpp"
#include "mpi/agree.hpp"
#include "mpi/info.hpp"

namespace muster::engine {

namespace {

using h5::check;

h5::PropertyList property_list(hid_t kind) { return {H5Pcreate(kind), "H5Pcreate"}; }

h5::PropertyList parallel_access(const CollectiveTarget& part) {
  auto list = property_list(H5P_FILE_ACCESS);
  const mpi::Info hints(part.hints);
  check(H5Pset_fapl_mpio(list.get(), part.comm.handle(), hints.handle()), "H5Pset_fapl_mpio");
  check(H5Pset_coll_metadata_write(list.get(), true), "H5Pset_coll_metadata_write");
  return list;
}

h5::PropertyList opened_by_all() {
  auto list = property_list(H5P_DATASET_ACCESS);
  // One rank reads the metadata for all.
  check(H5Pset_all_coll_metadata_ops(list.get(), true), "H5Pset_all_coll_metadata_ops");
  return list;
}

h5::PropertyList independent_transfer() {
  auto list = property_list(H5P_DATASET_XFER);
  check(H5Pset_dxpl_mpio(list.get(), H5FD_MPIO_INDEPENDENT), "H5Pset_dxpl_mpio");
  return list;
}

// One collective call of HDF5, in which each rank then writes its own bytes. They are large runs already, and MPI-IO's
// own collective buffering does not survive a write that the system refuses on one rank: it hangs (ompio's vulcan and
// two_phase, romio) or loses the error (ompio's dynamic).
h5::PropertyList collective_transfer() {
  auto list = property_list(H5P_DATASET_XFER);
  check(H5Pset_dxpl_mpio(list.get(), H5FD_MPIO_COLLECTIVE), "H5Pset_dxpl_mpio");
  check(H5Pset_dxpl_mpio_collective_opt(list.get(), H5FD_MPIO_INDIVIDUAL_IO), "H5Pset_dxpl_mpio_collective_opt");
  return list;
}

std::vector<h5::Datatype> all_tensor_types() {
  std::vector<h5::Datatype> types;
  for (const auto dtype : kAllDTypes) types.push_back(h5::tensor_type(dtype));
  return types;
}

// The extents of one tensor, in file order.
struct TensorExtents {
  std::uint32_t tensor = 0;
  std::span<const Extent> extents;

  [[nodiscard]] bool has_one_writer() const {
    return std::ranges::all_of(extents, [&](const Extent& extent) { return extent.writer == extents.front().writer; });
  }

  // In rounds: the k-th of them is this rank's k-th extent, or none.
  [[nodiscard]] std::vector<const Extent*> rounds(int rank) const {
    std::vector<const Extent*> rounds;
    std::map<int, std::size_t> round_of_writer;
    for (const auto& extent : extents) {
      const auto round = round_of_writer[extent.writer]++;
      if (rounds.size() <= round) rounds.resize(round + 1, nullptr);
      if (extent.writer == rank) rounds[round] = &extent;
    }
    return rounds;
  }
};

std::vector<TensorExtents> by_tensor(const std::vector<Extent>& extents) {
  std::vector<TensorExtents> all;
  for (std::size_t first = 0, end = 0; first < extents.size(); first = end) {
    while (end < extents.size() && extents[end].tensor == extents[first].tensor) ++end;
    all.push_back({extents[first].tensor, {extents.data() + first, end - first}});
  }
  return all;
}

// The hints that HDF5 passes to MPI-IO for a file; it has some of its own from 1.14 on.
class FileHints {
 public:
  // Collective, since HDF5 duplicates the communicator with them.
  explicit FileHints(const h5::File& file) {
    const h5::PropertyList list(H5Fget_access_plist(file.get()), "H5Fget_access_plist");
    check(H5Pget_fapl_mpio(list.get(), nullptr, &info_), "H5Pget_fapl_mpio");
  }
  ~FileHints() {
    if (info_ != MPI_INFO_NULL) MPI_Info_free(&info_);
  }
  FileHints(const FileHints&) = delete;
  FileHints& operator=(const FileHints&) = delete;
  [[nodiscard]] MPI_Info handle() const { return info_; }

 private:
  MPI_Info info_ = MPI_INFO_NULL;
};

class CollectiveWriter : public CollectiveWrite {
 public:
  explicit CollectiveWriter(const CollectiveTarget& part)
      : comm_(part.comm),
        layout_(*part.layout),
        part_(part.path),
        opened_by_all_(opened_by_all()),
        collective_(collective_transfer()),
        independent_(independent_transfer()),
        types_(all_tensor_types()),
        file_(H5Fopen(part_.c_str(), H5F_ACC_RDWR, parallel_access(part).get()), "open " + part_.string()) {}

  WriteResult write(const LocalShards& shards) override {
    const h5::QuietErrors quiet;
    std::vector<TensorExtents> shared;
    std::vector<TensorExtents> mine;
    for (const auto& tensor : by_tensor(layout_.extents)) {
      // Chunks are all allocated, so that each rank may write its own without the others.
      const bool in_chunks = !layout_.tensors[tensor.tensor].chunk_shape.empty();
      if (!in_chunks && !tensor.has_one_writer()) {
        shared.push_back(tensor);
      } else if (std::ranges::any_of(tensor.extents, [&](const auto& e) { return e.writer == comm_.rank(); })) {
        mine.push_back(tensor);
      }
    }
    // In this order: collective reads of metadata expect the same metadata in every rank's cache.
    write_together(shared, shards);
    for (const auto& tensor : mine) keep_failure([&] { write_alone(tensor, shards); });
    result_.hashes.reserve(hashes_.size());
    for (const auto& [offset, hash] : hashes_) result_.hashes.push_back(hash);
    if (failure_) std::rethrow_exception(failure_);
    return std::move(result_);
  }

  void sync() override {
    const h5::QuietErrors quiet;
    std::exception_ptr failure;
    try {
      check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "flush " + part_.string());
    } catch (...) {
      failure = std::current_exception();
    }
    file_.close("close " + part_.string());
    if (failure) std::rethrow_exception(failure);
  }

 private:
  // What one rank brings to a transfer.
  struct Selections {
    h5::Dataspace file;
    h5::Dataspace memory;
  };

  void write_alone(const TensorExtents& mine, const LocalShards& shards) {
    if (failure_) return;
    const auto& tensor = layout_.tensors[mine.tensor];
    const h5::DatasetHandle dataset(H5Dopen2(file_.get(), tensor.path.c_str(), H5P_DEFAULT), "open " + tensor.path);
    for (const auto& extent : mine.extents) {
      if (extent.writer != comm_.rank()) continue;
      failpoint::pass("engine.extent");
      const auto bytes = source_.get(layout_, shards, extent);
      hashes_[extent.offset] = hash_bytes(bytes);
      note_first_byte();
      if (tensor.dtype == DType::text) {
        write_text(dataset, tensor, extent, bytes);
        continue;
      }
      const auto write = [&](const Selections& selections, std::uint64_t first_byte) {
        if (H5Dwrite(dataset.get(), type_of(tensor.dtype), selections.memory.get(), selections.file.get(),
                     independent_.get(), bytes.data() + first_byte) < 0) {
          fail_to_write(tensor, extent);
        }
        ++result_.independent_transfers;
      };
      if (tensor.chunk_shape.empty()) {
        write(select(dataset, tensor, &extent), 0);
      } else {
        for (const auto& piece : chunk_boxes(tensor, extent)) {
          write(select_piece(dataset, tensor, piece), piece.first * item_bytes(tensor.dtype));
        }
      }
      result_.bytes += extent.bytes;
    }
  }

  // A text is one element, and one extent.
  void write_text(const h5::DatasetHandle& dataset, const StoredTensor& tensor, const Extent& extent,
                  std::span<const std::byte> bytes) {
    if (H5Dwrite(dataset.get(), h5::text_type(tensor.bytes).get(), H5S_ALL, H5S_ALL, independent_.get(), bytes.data()) <
        0) {
      fail_to_write(tensor, extent);
    }
    ++result_.independent_transfers;
    result_.bytes += extent.bytes;
  }

  // Datasets are opened in batches, each agreed upon before its transfers: a rank without an open dataset could not
  // take part in them, and the others would wait for ever.
  void write_together(const std::vector<TensorExtents>& all, const LocalShards& shards) {
    constexpr std::size_t kBatch = 64;
    for (std::size_t first = 0; first < all.size(); first += kBatch) {
      const auto last = std::min(all.size(), first + kBatch);
      auto open = mpi::run_agreed(comm_, "write", [&] {
        std::vector<h5::DatasetHandle> datasets;
        for (auto i = first; i < last; ++i) {
          const auto& path = layout_.tensors[all[i].tensor].path;
          datasets.emplace_back(H5Dopen2(file_.get(), path.c_str(), opened_by_all_.get()), "open " + path);
        }
        return datasets;
      });
      if (first == 0) view_hints_.emplace(file_);
      for (auto i = first; i < last; ++i) {
        for (const auto* extent : all[i].rounds(comm_.rank())) {
          write_round(open[i - first], all[i].tensor, extent, shards);
        }
      }
    }
  }

  void note_first_byte() {
    if (!result_.first_byte_s) result_.first_byte_s = watch_.seconds();
  }

  [[noreturn]] void fail_to_write(const StoredTensor& tensor, const Extent& extent) const {
    h5::fail(fmt::format("write {} bytes [{}, {}) to {}", tensor.path, extent.offset - tensor.offset,
                         extent.end() - tensor.offset, part_.string()));
  }

  static Selections select(const h5::DatasetHandle& dataset, const StoredTensor& tensor, const Extent* extent) {
    const auto item = item_bytes(tensor.dtype);
    ElementRange range;
    if (extent != nullptr) range = {(extent->offset - tensor.offset) / item, extent->bytes / item};
    h5::Dataspace file(H5Dget_space(dataset.get()), "H5Dget_space " + tensor.path);
    h5::select_range(file, tensor.shape, range);
    return {std::move(file), packed(range.count)};
  }

  static h5::Dataspace packed(hsize_t elements) {
    const auto room = std::max<hsize_t>(elements, 1);
    h5::Dataspace memory(H5Screate_simple(1, &room, nullptr), "H5Screate_simple");
    if (elements == 0) check(H5Sselect_none(memory.get()), "H5Sselect_none");
    return memory;
  }

  // Both of the same dims: HDF5 copies rows then, not elements.
  static Selections select_piece(const h5::DatasetHandle& dataset, const StoredTensor& tensor, const ChunkBox& piece) {
    h5::Dataspace file(H5Dget_space(dataset.get()), "H5Dget_space " + tensor.path);
    h5::select_box(file, piece.box, H5S_SELECT_SET);
    const std::vector<hsize_t> dims(piece.in_extent.begin(), piece.in_extent.end());
    h5::Dataspace memory(H5Screate_simple(narrow<int>(dims.size()), dims.data(), nullptr), "H5Screate_simple");
    h5::select_box(memory, {Shape(dims.size(), 0), piece.box.shape}, H5S_SELECT_SET);
    return {std::move(file), std::move(memory)};
  }

  // A rank that cannot even select nothing cannot take part in the transfer: ending it is better than a hang.
  static Selections select_nothing(const h5::DatasetHandle& dataset, const StoredTensor& tensor) noexcept {
    return select(dataset, tensor, nullptr);
  }

  // One collective transfer. Never throws: what fails here is kept, and this rank goes on with empty selections.
  void write_round(const h5::DatasetHandle& dataset, std::uint32_t index, const Extent* extent,
                   const LocalShards& shards) {
    const auto& tensor = layout_.tensors[index];
    std::span<const std::byte> bytes;
    std::optional<Selections> selections;
    if (extent != nullptr && !failure_) {
      keep_failure([&] {
        failpoint::pass("engine.extent");
        bytes = source_.get(layout_, shards, *extent);
        selections = select(dataset, tensor, extent);
        hashes_[extent->offset] = hash_bytes(bytes);
      });
    }
    const bool takes_part = selections.has_value();
    if (!takes_part) selections = select_nothing(dataset, tensor);
    keep_failure([&] { transfer(dataset, tensor, *selections, takes_part ? extent : nullptr, bytes); });
  }

  void transfer(const h5::DatasetHandle& dataset, const StoredTensor& tensor, const Selections& selections,
                const Extent* extent, std::span<const std::byte> bytes) {
    const std::byte nothing{};
    note_first_byte();
    const herr_t status =
        H5Dwrite(dataset.get(), type_of(tensor.dtype), selections.memory.get(), selections.file.get(),
                 collective_.get(), extent != nullptr ? static_cast<const void*>(bytes.data()) : &nothing);
    if (status < 0) {
      if (h5::last_error_mentions("MPI_File_write_at")) set_view_with_the_others();
      if (extent != nullptr) fail_to_write(tensor, *extent);
      h5::fail("take part in writing " + tensor.path);
    }
    if (extent != nullptr) result_.bytes += extent->bytes;
    std::uint32_t local_cause = 0;
    std::uint32_t global_cause = 0;
    check(H5Pget_mpio_no_collective_cause(collective_.get(), &local_cause, &global_cause),
          "H5Pget_mpio_no_collective_cause");
    ++(global_cause == 0 ? result_.collective_transfers : result_.independent_transfers);
  }

  // Around a transfer HDF5 sets the file view, and sets it back, on all ranks at once; where MPI-IO reports an error it
  // leaves the second one out, and ROMIO's other ranks would wait for it. With HDF5's own hints, since ROMIO compares
  // them.
  void set_view_with_the_others() {
    void* handle = nullptr;
    if (H5Fget_vfd_handle(file_.get(), H5P_DEFAULT, &handle) < 0) return;
    MPI_File_set_view(*static_cast<MPI_File*>(handle), 0, MPI_BYTE, MPI_BYTE, "native", view_hints_->handle());
  }

  // Kept open: made before the first transfer, so that none can fail for the want of one.
  hid_t type_of(DType dtype) const { return types_[static_cast<std::size_t>(dtype)].get(); }

  template <class Work>
  void keep_failure(Work&& work) {
    try {
      work();
    } catch (...) {
      if (!failure_) failure_ = std::current_exception();
    }
  }

  const mpi::CommView comm_;
  const Layout& layout_;
  const std::filesystem::path part_;
  std::optional<FileHints> view_hints_;
  h5::PropertyList opened_by_all_;
  h5::PropertyList collective_;
  h5::PropertyList independent_;
  std::vector<h5::Datatype> types_;
  h5::File file_;
  ExtentBytes source_;
  const Stopwatch watch_;
  std::map<std::uint64_t, std::uint64_t> hashes_;  // of this rank's extents, by offset
  WriteResult result_;
  std::exception_ptr failure_;
};

}  // namespace

std::unique_ptr<CollectiveWrite> open_collective_write(const CollectiveTarget& part) {
  const h5::QuietErrors quiet;
  return std::make_unique<CollectiveWriter>(part);
}

}  // namespace muster::engine
