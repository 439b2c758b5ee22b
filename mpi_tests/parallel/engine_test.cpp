// Both engines on every kind of layout: the same file, byte for byte but for what tells of the save itself.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include <muster/checkpoint.hpp>

#include "base/file_system.hpp"
#include "h5/catalog_reader.hpp"
#include "model/dtypes.hpp"
#include "mpi/comm.hpp"
#include "store/verify.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/scratch.hpp"
#include "support/sync_record.hpp"

namespace muster::engine_test {
namespace {

using test::Scratch;
using test::world_rank;
using test::world_size;
using testing::HasSubstr;

std::byte value_at(std::uint64_t index) { return static_cast<std::byte>((index * 2654435761U) >> 16); }

// Memory that this rank reads a shard from, and its first element in the tensor.
class Held {
 public:
  State& state() { return state_; }

  // Every rank holds all of it.
  void add_whole(const std::string& path, DType dtype, const Shape& shape) {
    state_.add(path, dtype, shape, bytes(0, element_count(shape) * item_bytes(dtype)));
  }
  // This rank holds elements [first, first + count).
  void add_flat(const std::string& path, DType dtype, const Shape& shape, std::uint64_t first, std::uint64_t count) {
    const auto item = item_bytes(dtype);
    state_.add(path, dtype, shape, bytes(first * item, count * item), Shard::flat(first, count));
  }
  // Read through a function, as from a device.
  void add_function(const std::string& path, const Shape& shape) {
    TensorMemory memory;
    memory.read = [](std::uint64_t first, std::span<std::byte> to) {
      for (auto& byte : to) byte = value_at(first++);
    };
    state_.add(Tensor{{path, DType::uint8, shape, Shard::whole()}, std::move(memory)});
  }

 private:
  const void* bytes(std::uint64_t first, std::uint64_t count) {
    // Not aligned to anything.
    auto& memory = memory_.emplace_back(count + 1);
    for (std::uint64_t i = 0; i < count; ++i) memory[i + 1] = value_at(first + i);
    return memory.data() + 1;
  }

  State state_;
  std::vector<std::vector<std::byte>> memory_;
};

using Fill = void (*)(Held&);

// The part of `elements` that this rank holds where all hold about as much: [first, first + count).
std::pair<std::uint64_t, std::uint64_t> share(std::uint64_t elements) {
  const auto ranks = static_cast<std::uint64_t>(world_size());
  const auto rank = static_cast<std::uint64_t>(world_rank());
  const auto first = elements * rank / ranks;
  return {first, elements * (rank + 1) / ranks - first};
}

void many_small(Held& held) {
  for (int i = 0; i < 300; ++i) held.add_whole("/model/small." + std::to_string(i), DType::float32, {8, 5});
  for (int i = 0; i < 60; ++i) held.add_whole("/model/norm." + std::to_string(i), DType::bfloat16, {4096});
}

void large_replicas(Held& held) {
  held.add_whole("/model/large", DType::float32, {1000, 2501});
  held.add_whole("/model/odd", DType::uint8, {4097});
  held.add_whole("/optimizer/large/exp_avg", DType::float64, {3, 100003});
}

void flat_parts(Held& held) {
  for (const std::uint64_t elements : {7U, 1000U, 65537U, 2000003U}) {
    const auto [first, count] = share(elements);
    held.add_flat("/model/flat." + std::to_string(elements), DType::int16, {elements}, first, count);
  }
}

void of_one_rank_each(Held& held) {
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t elements = 100 + static_cast<std::uint64_t>(i) * 997;
    const bool mine = i % world_size() == world_rank();
    held.add_flat("/model/stage." + std::to_string(i), DType::float32, {elements}, 0, mine ? elements : 0);
  }
}

void every_dtype_and_nothing(Held& held) {
  for (const auto dtype : kAllDTypes) held.add_whole("/model/" + std::string(name(dtype)), dtype, {3, 5});
  held.add_whole("/model/scalar", DType::int64, {});
  held.add_whole("/model/empty", DType::float32, {0, 7});
}

void several_extents_of_a_device(Held& held) { held.add_function("/model/device", {(std::uint64_t{37} << 20) + 11}); }

void nothing(Held&) {}

struct Kind {
  const char* name;
  Fill fill;
};

class Engines : public testing::TestWithParam<Kind> {};

INSTANTIATE_TEST_SUITE_P(Layouts, Engines,
                         testing::Values(Kind{"ManySmall", many_small}, Kind{"LargeReplicas", large_replicas},
                                         Kind{"FlatParts", flat_parts}, Kind{"OfOneRankEach", of_one_rank_each},
                                         Kind{"EveryDTypeAndNothing", every_dtype_and_nothing},
                                         Kind{"SeveralExtentsOfADevice", several_extents_of_a_device},
                                         Kind{"Nothing", nothing}),
                         [](const auto& kind) { return std::string(kind.param.name); });

void expect_equal_but_for_the_save_itself(const std::filesystem::path& a_file, const std::filesystem::path& b_file) {
  const auto a = h5::read_catalog(a_file);
  const auto b = h5::read_catalog(b_file);
  ASSERT_EQ(a.extents.size(), b.extents.size());
  EXPECT_EQ(a.hashes, b.hashes);
  const auto a_bytes = test::read_file(a_file);
  const auto b_bytes = test::read_file(b_file);
  ASSERT_EQ(a_bytes.size(), b_bytes.size());
  ASSERT_EQ(a.head_bytes, b.head_bytes);
  const auto head = static_cast<std::ptrdiff_t>(a.head_bytes);
  const auto payload = head + static_cast<std::ptrdiff_t>(a.tables_bytes);
  EXPECT_TRUE(std::equal(a_bytes.begin(), a_bytes.begin() + head, b_bytes.begin())) << "head";
  EXPECT_TRUE(std::equal(a_bytes.begin() + payload, a_bytes.end(), b_bytes.begin() + payload)) << "payload";
  const std::string h5diff = "h5diff --exclude-path /run --exclude-path /telemetry --exclude-path /integrity " +
                             a_file.string() + " " + b_file.string() + " 2>&1";
  EXPECT_EQ(std::system(h5diff.c_str()), 0) << h5diff;
}

TEST_P(Engines, LeaveTheSameFile) {
  const Scratch scratch;
  Held held;
  GetParam().fill(held);
  for (const std::uint64_t alignment : {std::uint64_t{512}, std::uint64_t{4096}, std::uint64_t{65536}}) {
    std::array<SaveReport, 3> reports;
    const std::array engines{EngineChoice::direct, EngineChoice::collective, EngineChoice::direct};
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const auto tag = std::to_string(alignment) + "_" + std::to_string(i);
      Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(), {.engine = engines[i], .alignment_bytes = alignment});
      reports[i] = checkpointer.save(held.state(), {.tag = tag});
      EXPECT_EQ(reports[i].engine, name(engines[i]));
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (world_rank() == 0) {
      for (const auto& report : reports) {
        EXPECT_TRUE(store::verify(report.file, h5::read_catalog(report.file), {}).damages.empty()) << report.file;
      }
      expect_equal_but_for_the_save_itself(reports[0].file, reports[1].file);
      expect_equal_but_for_the_save_itself(reports[0].file, reports[2].file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
  }
}

TEST_P(Engines, DirectAloneIsSoundAndComesBack) {
  const Scratch scratch;
  Held held;
  GetParam().fill(held);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(), {.engine = EngineChoice::direct});
  for (const char* tag : {"planned", "repeated"}) {
    const auto report = checkpointer.save(held.state(), {.tag = tag});
    MPI_Barrier(MPI_COMM_WORLD);
    EXPECT_TRUE(store::verify(report.file, h5::read_catalog(report.file), {}).damages.empty());
    // Every rank wants all of every tensor, whoever saved it.
    std::vector<std::vector<std::byte>> loaded;
    checkpointer.load({.tag = tag}, [&](const CheckpointContents& contents) {
      LoadTarget target;
      loaded.clear();
      for (const auto& [path, dtype, shape] : contents.tensors) {
        auto& bytes = loaded.emplace_back(element_count(shape) * item_bytes(dtype));
        target.state.add_mutable(path, dtype, shape, bytes.data());
      }
      return target;
    });
    for (const auto& bytes : loaded) {
      for (std::size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], value_at(i)) << i;
    }
  }
}

// The fsync of rank 0, which seals the file, does not reach what the kernels of other nodes hold.
TEST_P(Engines, EachRankSyncsWhatItWrote) {
  const Scratch scratch;
  Held held;
  GetParam().fill(held);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  const test::SyncRecord syncs;
  std::vector<SaveReport> reports;
  for (const auto engine : {EngineChoice::direct, EngineChoice::collective}) {
    Checkpointer of_engine(MPI_COMM_WORLD, scratch.path(), {.engine = engine});
    reports.push_back(of_engine.save(held.state(), {.tag = std::string(name(engine))}));
  }
  reports.push_back(checkpointer.save_async(held.state(), {.tag = "background"}).wait());
  MPI_Barrier(MPI_COMM_WORLD);
  for (const auto& report : reports) {
    const auto catalog = h5::read_catalog(report.file);
    const auto saved = test::read_file(report.file);
    auto synced = syncs.bytes_of(report.file);
    synced.resize(saved.size());
    for (const auto& extent : catalog.extents) {
      if (extent.writer != world_rank()) continue;
      const auto first = static_cast<std::ptrdiff_t>(extent.offset);
      const auto last = first + static_cast<std::ptrdiff_t>(extent.bytes);
      EXPECT_TRUE(std::equal(saved.begin() + first, saved.begin() + last, synced.begin() + first))
          << report.file << ": " << catalog.tensors[extent.tensor].path << " at byte " << first << " was not synced";
      if (HasFailure()) break;
    }
  }
}

TEST(DirectEngine, WritesPastThePageCacheWhereTheFileSystemTakesIt) {
  const Scratch scratch;
  const auto file_system = file_system_of(scratch.path());
  if (file_system != "ext4" && file_system != "xfs" && file_system != "btrfs") {
    GTEST_SKIP() << "not asserted on " << file_system;
  }
  Held held;
  held.add_function("/model/device", {std::uint64_t{40} << 20});
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  const auto report = checkpointer.save(held.state(), {.tag = "t"});
  EXPECT_EQ(report.engine, "direct");
  std::uint64_t bytes = report.direct_bytes;
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
  EXPECT_GE(bytes, (std::uint64_t{40} << 20) - static_cast<std::uint64_t>(world_size()) * (64U << 10));
}

TEST(DirectEngine, StartsARepeatedSaveWithThePlanOfTheLastOne) {
  const Scratch scratch;
  Held held;
  many_small(held);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  EXPECT_FALSE(checkpointer.save(held.state(), {.tag = "1"}).plan_reused);
  const auto report = checkpointer.save(held.state(), {.tag = "2"});
  EXPECT_TRUE(report.plan_reused);
  EXPECT_GT(report.first_byte_s, 0);
  EXPECT_LT(report.first_byte_s, report.total_s);
}

// Who read from its tensors in which order, over all ranks of a node.
class Order {
 public:
  explicit Order(const std::filesystem::path& file) {
    if (world_rank() == 0) test::write_text(file, "");
    MPI_Barrier(MPI_COMM_WORLD);
    file_ = ::open(file.c_str(), O_WRONLY | O_APPEND);
  }
  ~Order() { ::close(file_); }
  Order(const Order&) = delete;
  Order& operator=(const Order&) = delete;
  void note() const {
    const char digit = static_cast<char>('0' + world_rank());
    EXPECT_EQ(::write(file_, &digit, 1), 1);
  }

 private:
  int file_ = -1;
};

// At once and in the background.
class DirectEngineInTurns : public testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(, DirectEngineInTurns, testing::Bool());

TEST_P(DirectEngineInTurns, LetsOnlySoManyRanksOfANodeWriteAtATime) {
  const Scratch scratch;
  constexpr int kTensors = 4;
  const Order order(scratch.path() / "order");
  State state;
  for (int i = 0; i < kTensors * world_size(); ++i) {
    constexpr std::uint64_t kBytes = 1000;
    const bool mine = i / kTensors == world_rank();
    TensorMemory memory;
    memory.read = [&order](std::uint64_t first, std::span<std::byte> to) {
      order.note();
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      for (auto& byte : to) byte = value_at(first++);
    };
    state.add(Tensor{{"/model/t" + std::to_string(i), DType::uint8, {kBytes}, Shard::flat(0, mine ? kBytes : 0)},
                     std::move(memory)});
  }
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(), {.engine = EngineChoice::direct});
  SaveOptions options{.tag = "t", .num_workers = 1};
  if (GetParam()) {
    // Written as the state lies there, so that a rank reads its tensors as it writes.
    options.async = {.overlap_staging = true, .overlap = Overlap::writing};
    checkpointer.save_async(state, options).wait();
  } else {
    checkpointer.save(state, options);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  const auto noted = test::read_file(scratch.path() / "order");
  const std::string order_of_ranks(reinterpret_cast<const char*>(noted.data()), noted.size());
  EXPECT_EQ(order_of_ranks.size(), static_cast<std::size_t>(kTensors * world_size()));
  for (int rank = 0; rank < world_size(); ++rank) {
    EXPECT_THAT(order_of_ranks, HasSubstr(std::string(kTensors, static_cast<char>('0' + rank))));
  }
}

TEST(Engine, MustBeTheSameOnAllRanks) {
  if (world_size() == 1) GTEST_SKIP() << "one rank cannot differ";
  const Scratch scratch;
  const auto engine = world_rank() == 0 ? EngineChoice::direct : EngineChoice::collective;
  const auto error = test::collective_error(
      ErrorKind::mismatch, "agree", [&] { const Checkpointer c(MPI_COMM_WORLD, scratch.path(), {.engine = engine}); });
  EXPECT_THAT(error.what(), HasSubstr("the option engine: rank 0 passes"));
}

// Open MPI's MPI-IO corrupts files that are opened on a Cartesian communicator: it gets one without topology.
TEST(Engine, KeepsTopologiesFromMpiIo) {
  const Scratch scratch;
  MPI_Comm line = MPI_COMM_NULL;
  const int dims = world_size();
  const int periods = 0;
  ASSERT_EQ(MPI_Cart_create(MPI_COMM_WORLD, 1, &dims, &periods, 0, &line), MPI_SUCCESS);
  int topology = MPI_UNDEFINED;
  MPI_Topo_test(mpi::Comm::duplicate(line).view(60).handle(), &topology);
  EXPECT_EQ(topology, MPI_UNDEFINED);
  {
    Held held;
    flat_parts(held);
    Checkpointer checkpointer(line, scratch.path(), {.engine = EngineChoice::collective});
    const auto report = checkpointer.save(held.state(), {.tag = "t"});
    MPI_Barrier(MPI_COMM_WORLD);
    EXPECT_TRUE(store::verify(report.file, h5::read_catalog(report.file), {}).damages.empty());
  }
  MPI_Comm_free(&line);
}

TEST(Engine, TakesHintsForMpiIo) {
  const Scratch scratch;
  Held held;
  large_replicas(held);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(),
                            {.engine = EngineChoice::collective, .hints = {{"cb_nodes", "1"}}});
  const auto report = checkpointer.save(held.state(), {.tag = "t"});
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_TRUE(store::verify(report.file, h5::read_catalog(report.file), {}).damages.empty());
  const CheckpointerOptions unnamed{.hints = {{"", "1"}}};
  test::collective_error(ErrorKind::usage, "agree",
                         [&] { const Checkpointer c(MPI_COMM_WORLD, scratch.path(), unnamed); });
}

}  // namespace
}  // namespace muster::engine_test
