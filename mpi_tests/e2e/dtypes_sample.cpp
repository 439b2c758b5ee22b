// A checkpoint of every dtype, each with 256 elements: those of one byte are all codes there are. For readers that know
// nothing of muster.
// Usage: dtypes_sample save DIRECTORY | load DIRECTORY TAG... | make_foreign FILE
// (save and load on any number of ranks)

#include <fcntl.h>
#include <hdf5.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iostream>
#include <muster/muster.hpp>
#include <muster/sharding.hpp>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/bytes.hpp"
#include "base/hash.hpp"
#include "base/posix.hpp"
#include "h5/handle.hpp"
#include "h5/table_rows.hpp"
#include "model/convert.hpp"
#include "model/dtypes.hpp"

namespace {

using muster::Bytes;
using muster::DType;

const muster::Shape kShape{16, 16};

// The bits of an element: its number, or for more bytes all zeros, all ones and anything between.
std::uint64_t bits_of(DType dtype, std::uint64_t element) {
  if (dtype == DType::boolean) return element % 2;
  if (item_bytes(dtype) == 1) return element;
  return element == 255 ? ~std::uint64_t{0} : element * 0x9E3779B97F4A7C15ULL;
}

Bytes all_bytes(DType dtype) {
  const auto item = item_bytes(dtype);
  Bytes bytes(256 * item);
  for (std::uint64_t element = 0; element < 256; ++element) {
    const auto bits = bits_of(dtype, element);
    for (std::uint64_t at = 0; at < item; at += sizeof(bits)) {
      std::memcpy(bytes.data() + element * item + at, &bits, std::min<std::uint64_t>(sizeof(bits), item - at));
    }
  }
  return bytes;
}

// The elements of columns [first, first + count).
Bytes columns(const Bytes& all, std::uint64_t item, std::uint64_t first, std::uint64_t count) {
  Bytes bytes;
  for (std::uint64_t row = 0; row < kShape[0]; ++row) {
    const auto* from = all.data() + (row * kShape[1] + first) * item;
    bytes.insert(bytes.end(), from, from + count * item);
  }
  return bytes;
}

struct Held {
  std::string path;
  DType dtype;
  muster::Shard shard;
  Bytes expected;
  Bytes bytes;
};

// Each dtype once whole on every rank, and once cut into the columns of the ranks.
std::vector<Held> held_by(int rank, int ranks) {
  std::vector<Held> held;
  for (const auto dtype : muster::kAllDTypes) {
    const std::string key(name(dtype));
    const auto all = all_bytes(dtype);
    held.push_back({muster::object_path({"model", key}), dtype, muster::Shard::whole(), all, all});
    const auto mine = muster::split(kShape, 1, rank, ranks);
    const auto& box = mine.boxes().at(0);
    const auto part = columns(all, item_bytes(dtype), box.offset[1], box.shape[1]);
    held.push_back({muster::object_path({"cut", key}), dtype, mine, part, part});
  }
  return held;
}

muster::State state_of(std::vector<Held>& held) {
  muster::State state;
  for (auto& tensor : held) state.add_mutable(tensor.path, tensor.dtype, kShape, tensor.bytes.data(), tensor.shard);
  return state;
}

void save(const std::filesystem::path& directory, std::vector<Held>& held) {
  for (const auto engine : {muster::EngineChoice::direct, muster::EngineChoice::collective}) {
    const auto* tag = engine == muster::EngineChoice::direct ? "direct" : "collective";
    muster::Checkpointer(MPI_COMM_WORLD, directory, {.engine = engine}).save(state_of(held), {.tag = tag});
  }
}

bool is_as_saved(const std::filesystem::path& directory, const std::string& tag, std::vector<Held>& held) {
  for (auto& tensor : held) std::ranges::fill(tensor.bytes, std::byte{0xEE});
  muster::Checkpointer checkpointer(MPI_COMM_WORLD, directory);
  muster::LoadTarget target;
  target.state = state_of(held);
  checkpointer.load({.tag = tag}, target);
  for (const auto& tensor : held) {
    if (tensor.bytes == tensor.expected) continue;
    std::cerr << tag << ": " << tensor.path << " has other bytes than were saved\n";
    return false;
  }
  return true;
}

// All kinds of float8 into float32.
bool is_converted_right(const std::filesystem::path& directory, const std::string& tag, const std::vector<Held>& held) {
  std::vector<Held> wide;
  for (const auto& tensor : held) {
    if (item_bytes(tensor.dtype) != 1 || !muster::is_convertible(tensor.dtype, DType::float32)) continue;
    Bytes expected(tensor.expected.size() * sizeof(float));
    muster::convert(tensor.dtype, tensor.expected, DType::float32, expected);
    wide.push_back({tensor.path, DType::float32, tensor.shard, expected, Bytes(expected.size())});
  }
  muster::Checkpointer checkpointer(MPI_COMM_WORLD, directory);
  muster::LoadTarget target;
  target.state = state_of(wide);
  checkpointer.load({.tag = tag, .convert_dtypes = true}, target);
  for (const auto& tensor : wide) {
    if (tensor.bytes == tensor.expected) continue;
    std::cerr << tag << ": " << tensor.path << " is not converted as it must be\n";
    return false;
  }
  return wide.size() == 10;  // five kinds, whole and cut
}

template <class Value>
Value value_at(const muster::posix::File& file, std::uint64_t offset) {
  Value value;
  file.read_at(std::as_writable_bytes(std::span(&value, 1)), offset);
  return value;
}

// Replaces a tensor by one of a datatype that muster does not have, and makes all hashes right again: what a newer
// muster might have written.
void make_foreign(const std::filesystem::path& path) {
  using muster::h5::check;
  using muster::h5::IntegrityRow;
  haddr_t run_offset = 0;
  haddr_t integrity_offset = 0;
  std::uint64_t run_bytes = 0;
  {
    const muster::h5::File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open");
    const auto offset_of = [&](const char* name) {
      const muster::h5::DatasetHandle dataset(H5Dopen2(file.get(), name, H5P_DEFAULT), name);
      if (std::string(name) == "/run") run_bytes = H5Dget_storage_size(dataset.get());
      return H5Dget_offset(dataset.get());
    };
    run_offset = offset_of("/run");
    integrity_offset = offset_of("/integrity");
    check(H5Ldelete(file.get(), "/model/uint16", H5P_DEFAULT), "H5Ldelete");
    const muster::h5::Datatype type(H5Tcopy(H5T_STD_U32LE), "H5Tcopy");
    check(H5Tset_precision(type.get(), 24), "H5Tset_precision");
    check(H5Tset_size(type.get(), 3), "H5Tset_size");
    const std::array<hsize_t, 2> dims{16, 16};
    const muster::h5::Dataspace space(H5Screate_simple(2, dims.data(), nullptr), "H5Screate_simple");
    const muster::h5::PropertyList early(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate");
    check(H5Pset_alloc_time(early.get(), H5D_ALLOC_TIME_EARLY), "H5Pset_alloc_time");
    const muster::h5::DatasetHandle dataset(
        H5Dcreate2(file.get(), "/model/uint16", type.get(), space.get(), H5P_DEFAULT, early.get(), H5P_DEFAULT),
        "H5Dcreate2");
  }
  const muster::posix::File file(path, O_RDWR);
  Bytes run(run_bytes);
  file.read_at(run, run_offset);
  auto content = nlohmann::json::parse(reinterpret_cast<const char*>(run.data()));
  content["file_bytes"] = file.size();
  const auto text = content.dump();
  std::ranges::fill(run, std::byte{0});
  std::memcpy(run.data(), text.data(), text.size());
  file.write_at(run, run_offset);

  const auto second = integrity_offset + sizeof(IntegrityRow);
  auto head = value_at<IntegrityRow>(file, integrity_offset);
  auto tables = value_at<IntegrityRow>(file, second);
  const auto write_row = [&](const IntegrityRow& row, std::uint64_t offset) {
    file.write_at(std::as_bytes(std::span(&row, 1)), offset);
  };
  const auto hash_of = [&](const IntegrityRow& row) {
    Bytes bytes(row.bytes);
    file.read_at(bytes, row.offset);
    return muster::hash_bytes(bytes);
  };
  head.hash = hash_of(head);
  write_row(head, integrity_offset);
  tables.hash = 0;
  write_row(tables, second);
  tables.hash = hash_of(tables);
  write_row(tables, second);
}

int run(const std::string& command, const std::filesystem::path& path, const std::vector<std::string>& tags) {
  int rank = 0;
  int ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  auto held = held_by(rank, ranks);
  if (command == "load") {
    for (const auto& tag : tags) {
      if (!is_as_saved(path, tag, held) || !is_converted_right(path, tag, held)) return 1;
    }
  } else if (command == "save") {
    save(path, held);
  } else {
    make_foreign(path);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int code = 2;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string command = arguments.size() < 2 ? "" : arguments[0];
  if ((command == "load" && arguments.size() > 2) ||
      ((command == "save" || command == "make_foreign") && arguments.size() == 2)) {
    try {
      code = run(command, arguments[1], {arguments.begin() + 2, arguments.end()});
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
      code = 1;
    }
  } else {
    std::cerr << "usage: dtypes_sample save DIRECTORY | load DIRECTORY TAG... | make_foreign FILE\n";
  }
  MPI_Finalize();
  return code;
}
