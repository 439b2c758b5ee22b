#include "h5/head.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <map>
#include <muster/error.hpp>

#include "base/narrow.hpp"
#include "base/posix.hpp"
#include "h5/datatype.hpp"
#include "h5/handle.hpp"
#include "h5/locking.hpp"
#include "h5/storage.hpp"

namespace muster::h5 {

namespace {

PropertyList property_list(hid_t kind) { return {H5Pcreate(kind), "H5Pcreate"}; }

// Left to itself the cache grows with the number of tensors; what is declared is not looked at again.
void limit_metadata_cache(const PropertyList& access) {
  H5AC_cache_config_t config{};
  config.version = H5AC__CURR_CACHE_CONFIG_VERSION;
  check(H5Pget_mdc_config(access.get(), &config), "H5Pget_mdc_config");
  config.set_initial_size = true;
  config.initial_size = config.min_size = config.max_size = std::size_t{1} << 20;
  config.incr_mode = H5C_incr__off;
  config.flash_incr_mode = H5C_flash_incr__off;
  config.decr_mode = H5C_decr__off;
  check(H5Pset_mdc_config(access.get(), &config), "H5Pset_mdc_config");
}

PropertyList file_access(const Layout& layout) {
  auto list = property_list(H5P_FILE_ACCESS);
  check(H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "H5Pset_libver_bounds");
  check(H5Pset_alignment(list.get(), aligned_threshold_bytes(layout.alignment_bytes), layout.alignment_bytes),
        "H5Pset_alignment");
  // One block for all metadata, in front of everything; raw data is given out byte after byte behind it.
  check(H5Pset_meta_block_size(list.get(), layout.head_bytes), "H5Pset_meta_block_size");
  check(H5Pset_small_data_block_size(list.get(), 0), "H5Pset_small_data_block_size");
  limit_metadata_cache(list);
  disable_locking(list.get());
  return list;
}

PropertyList file_creation() {
  auto list = property_list(H5P_FILE_CREATE);
  check(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times");
  // No free-space manager: it would put small tensors into the gaps before aligned ones, out of order.
  check(H5Pset_file_space_strategy(list.get(), H5F_FSPACE_STRATEGY_AGGR, false, 1), "H5Pset_file_space_strategy");
  return list;
}

// A file with a strategy of its own gets one more object, the superblock extension, which HDF5 creates with the
// default properties of groups: times and all. While this lives they are without, so that the head is reproducible.
class DefaultsWithoutTimes {
 public:
  DefaultsWithoutTimes() {
    check(H5Pget_obj_track_times(H5P_GROUP_CREATE_DEFAULT, &tracked_), "H5Pget_obj_track_times");
    check(H5Pset_obj_track_times(H5P_GROUP_CREATE_DEFAULT, false), "H5Pset_obj_track_times");
  }
  ~DefaultsWithoutTimes() { H5Pset_obj_track_times(H5P_GROUP_CREATE_DEFAULT, tracked_); }
  DefaultsWithoutTimes(const DefaultsWithoutTimes&) = delete;
  DefaultsWithoutTimes& operator=(const DefaultsWithoutTimes&) = delete;

 private:
  hbool_t tracked_ = true;
};

class Builder {
 public:
  Builder(const Layout& layout, const std::filesystem::path& path)
      : layout_(layout),
        file_(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, file_creation().get(), file_access(layout).get()),
              "create " + path.string()),
        dataset_creation_(property_list(H5P_DATASET_CREATE)),
        chunked_creation_(property_list(H5P_DATASET_CREATE)),
        group_creation_(property_list(H5P_GROUP_CREATE)),
        link_creation_(property_list(H5P_LINK_CREATE)) {
    for (const auto* creation : {&dataset_creation_, &chunked_creation_}) {
      check(H5Pset_alloc_time(creation->get(), H5D_ALLOC_TIME_EARLY), "H5Pset_alloc_time");
      check(H5Pset_fill_time(creation->get(), H5D_FILL_TIME_NEVER), "H5Pset_fill_time");
      check(H5Pset_obj_track_times(creation->get(), false), "H5Pset_obj_track_times");
    }
    check(H5Pset_obj_track_times(group_creation_.get(), false), "H5Pset_obj_track_times");
    check(H5Pset_char_encoding(link_creation_.get(), H5T_CSET_UTF8), "H5Pset_char_encoding");
  }

  void declare(const Table& table) {
    const std::vector<hsize_t> rows(table.kind == Table::Kind::document ? 0 : 1, table.rows);
    declare(table.path, type_of(table), rows, dataset_creation_, table);
  }

  // Returns the address of its object.
  std::uint64_t declare(const StoredTensor& tensor) {
    if (tensor.dtype == DType::text)
      return declare(tensor.path, text_type(tensor.bytes), {}, dataset_creation_, tensor);
    const std::vector<hsize_t> dims(tensor.shape.begin(), tensor.shape.end());
    return declare(tensor.path, tensor_type(tensor.dtype), dims, creation_of(tensor), tensor);
  }

  void close() {
    // A group of many links keeps its free space in structures that get their place when first written. Closing the
    // file gives up what is left of the metadata block before it writes them, so that they would end up behind the
    // payload: they are written now.
    groups_.emplace("/", Group(H5Gopen2(file_.get(), "/", H5P_DEFAULT), "open /"));
    for (const auto& [path, group] : groups_) check(H5Gflush(group.get()), "flush group " + path);
    groups_.clear();
    file_.close("close the head");
  }

 private:
  std::uint64_t declare(const std::string& path, const Datatype& type, const std::vector<hsize_t>& dims,
                        const PropertyList& creation, const ByteRange& foretold) {
    const auto slash = path.rfind('/');
    const hid_t parent = group(path.substr(0, slash));
    const Dataspace space(
        dims.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(narrow<int>(dims.size()), dims.data(), nullptr),
        "dataspace of " + path);
    const DatasetHandle handle(H5Dcreate2(parent, path.c_str() + slash + 1, type.get(), space.get(),
                                          link_creation_.get(), creation.get(), H5P_DEFAULT),
                               "declare " + path);
    if (foretold.bytes > 0) {
      const auto offset = storage_offset(handle.get(), path);
      if (offset != foretold.offset) {
        throw Error(ErrorKind::internal,
                    fmt::format("HDF5 places {} at byte {}, the layout foretold {}", path, offset, foretold.offset));
      }
    }
    hobj_ref_t reference = 0;  // the address of the object header
    check(H5Rcreate(&reference, handle.get(), ".", H5R_OBJECT, H5I_INVALID_HID), "H5Rcreate");
    return reference;
  }

  // Chunks of a fixed-size dataset that are allocated at once and not filtered lie one behind the other ("implicit"
  // index), so that they need no metadata of their own.
  const PropertyList& creation_of(const StoredTensor& tensor) {
    if (tensor.chunk_shape.empty()) return dataset_creation_;
    const std::vector<hsize_t> chunk(tensor.chunk_shape.begin(), tensor.chunk_shape.end());
    check(H5Pset_chunk(chunked_creation_.get(), narrow<int>(chunk.size()), chunk.data()), "H5Pset_chunk");
    return chunked_creation_;
  }

  static Datatype type_of(const Table& table) {
    switch (table.kind) {
      case Table::Kind::document:
        return text_type(table.bytes);
      case Table::Kind::integrity:
        return integrity_type();
      case Table::Kind::telemetry:
        return telemetry_type();
    }
    throw Error(ErrorKind::internal, "unknown kind of table");
  }

  // The group at an absolute path ("" is the root), made on first use and kept open.
  hid_t group(const std::string& path) {
    if (path.empty()) return file_.get();
    const auto found = groups_.find(path);
    if (found != groups_.end()) return found->second.get();
    const auto slash = path.rfind('/');
    const hid_t parent = group(path.substr(0, slash));
    Group made(H5Gcreate2(parent, path.c_str() + slash + 1, link_creation_.get(), group_creation_.get(), H5P_DEFAULT),
               "declare group " + path);
    return groups_.emplace(path, std::move(made)).first->second.get();
  }

  const Layout& layout_;
  File file_;
  PropertyList dataset_creation_;
  PropertyList chunked_creation_;
  PropertyList group_creation_;
  PropertyList link_creation_;
  std::map<std::string, Group> groups_;
};

}  // namespace

Head build_head(const Layout& layout, const std::filesystem::path& path) {
  const QuietErrors quiet;
  const DefaultsWithoutTimes untimed;
  Head head;
  Builder builder(layout, path);
  for (const auto& table : layout.tables) builder.declare(table);
  for (const auto& tensor : layout.tensors) head.object_addresses.push_back(builder.declare(tensor));
  builder.close();
  check(H5garbage_collect(), "H5garbage_collect");

  const posix::File file(path, O_RDONLY);
  if (const auto bytes = file.size(); bytes != layout.file_bytes) {
    throw Error(ErrorKind::internal,
                fmt::format("the head does not fit its {} bytes: the file has {} bytes, the layout foretold {}",
                            layout.head_bytes, bytes, layout.file_bytes));
  }
  head.bytes.resize(layout.head_bytes);
  file.read_at(head.bytes, 0);
  return head;
}

}  // namespace muster::h5
