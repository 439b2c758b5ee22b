// Loads of a part, under other names, into other dtypes, by every rank for itself; and what is said of the rest.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>

#include "h5/catalog_reader.hpp"
#include "mpi/comm.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::partial_load_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::world_rank;
using test::world_size;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::uint64_t kWeightBytes = 120 * 1000 * sizeof(float);
constexpr std::uint64_t kPayloadBytes = kWeightBytes + 33 * sizeof(double) + sizeof(std::int64_t);

class PartialLoad : public testing::Test {
 protected:
  void SetUp() override {
    checkpointer_.save(saved_.state(), {.tag = "t"});
    MPI_Barrier(MPI_COMM_WORLD);
  }

  // Bytes that all ranks together read.
  static std::uint64_t all_read(const LoadReport& report) {
    auto bytes = report.read_bytes;
    MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return bytes;
  }

  Scratch scratch_;
  Checkpointer checkpointer_{MPI_COMM_WORLD, scratch_.path()};
  Model saved_{1};
  Model again_{0};
};

TEST_F(PartialLoad, SaysOfMissingTensorsWhatItIsAsked) {
  auto target = again_.target();
  float missing = -1;
  target.state.add_mutable("/model/missing", DType::float32, {}, &missing);
  collective_error(ErrorKind::mismatch, "check",
                   [&] { checkpointer_.load({.strict = false, .missing = OnDifference::error}, target); });
  EXPECT_EQ(again_, Model(0));
  const auto warned = checkpointer_.load({.missing = OnDifference::warn}, target);
  EXPECT_THAT(warned.skipped, ElementsAre(HasSubstr("missing in the checkpoint: /model/missing")));
  EXPECT_EQ(again_, saved_);
  EXPECT_THAT(checkpointer_.load({.missing = OnDifference::ignore}, target).skipped, IsEmpty());
  EXPECT_EQ(missing, -1);
}

TEST_F(PartialLoad, ListsTheFirstOfManyDifferencesAndMisfitsBefore) {
  LoadTarget target;
  std::array<float, 30> missing{};
  for (std::size_t i = 0; i < missing.size(); ++i) {
    target.state.add_mutable(fmt::format("/model/missing{:02}", i), DType::float32, {}, &missing.at(i));
  }
  std::array<double, 5> short_bias{};
  target.state.add_mutable("/model/bias", DType::float64, {short_bias.size()}, short_bias.data());
  EXPECT_THAT(collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, target); }).what(),
              AllOf(HasSubstr("/model/bias"), HasSubstr("/model/missing18\n    and 11 more"),
                    Not(HasSubstr("/model/missing19"))));
}

TEST_F(PartialLoad, SaysOfUnexpectedTensorsWhatItIsAsked) {
  LoadTarget target;
  target.sections = {"model"};
  target.state.add_mutable("/model/weight", DType::float32, {120, 1000}, again_.weight.data());
  const auto error = collective_error(ErrorKind::mismatch, "check", [&] {
    checkpointer_.load({.missing = OnDifference::ignore, .unexpected = OnDifference::error}, target);
  });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("unexpected in the checkpoint: /model/bias"), Not(HasSubstr("steps"))));
  EXPECT_THAT(checkpointer_.load({.unexpected = OnDifference::warn}, target).skipped,
              ElementsAre(HasSubstr("unexpected in the checkpoint: /model/bias")));
  EXPECT_THAT(checkpointer_.load({.unexpected = OnDifference::ignore}, target).skipped, IsEmpty());
  EXPECT_EQ(again_.weight, saved_.weight);
}

// Pipeline stages: what another rank wants is not unexpected; what nobody wants is, to all of them.
TEST_F(PartialLoad, UnexpectedIsWhatNoRankWants) {
  const auto wanting = [&](bool steps) {
    LoadTarget target;
    target.sections = {"model", "optimizer"};
    const bool last = world_rank() == world_size() - 1;
    if (world_rank() == 0) {
      target.state.add_mutable("/model/weight", DType::float32, {120, 1000}, again_.weight.data());
    }
    if (last) target.state.add_mutable("/model/bias", DType::float64, {33}, again_.bias.data());
    if (last && steps) target.state.add_mutable("/optimizer/steps", DType::int64, {}, &again_.steps);
    return target;
  };
  const auto error = collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, wanting(false)); });
  EXPECT_EQ(error.failures().size(), static_cast<std::size_t>(world_size()));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("unexpected in the checkpoint: /optimizer/steps"), Not(HasSubstr("bias"))));
  checkpointer_.load({}, wanting(true));
  if (world_rank() == 0) {
    EXPECT_EQ(again_.weight, saved_.weight);
  }
  if (world_rank() == world_size() - 1) {
    EXPECT_EQ(again_.bias, saved_.bias);
    EXPECT_EQ(again_.steps, saved_.steps);
  }
}

TEST_F(PartialLoad, LoadsOnlyWhatMatches) {
  const auto report = checkpointer_.load({.only = {"/model/b*", "/optimizer/*"}}, again_.target());
  EXPECT_THAT(report.skipped, IsEmpty());
  EXPECT_EQ(again_.weight, Model(0).weight);
  EXPECT_EQ(again_.bias, saved_.bias);
  EXPECT_EQ(again_.steps, saved_.steps);
  EXPECT_EQ(all_read(report), kPayloadBytes - kWeightBytes);
}

TEST_F(PartialLoad, APatternThatMatchesNothingIsMissing) {
  const auto error = collective_error(ErrorKind::mismatch, "check", [&] {
    checkpointer_.load({.only = {"/modle/*", "/model/*"}}, again_.target());
  });
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("missing in the checkpoint: anything like '/modle/*'"), Not(HasSubstr("'/model/*'"))));
  EXPECT_EQ(again_, Model(0));
}

TEST_F(PartialLoad, LoadsUnderOtherNames) {
  const auto target_of = [&](const char* weight, const char* bias) {
    LoadTarget target;
    target.sections = {"model"};
    target.state.add_mutable(weight, DType::float32, {120, 1000}, again_.weight.data());
    target.state.add_mutable(bias, DType::float64, {33}, again_.bias.data());
    return target;
  };
  checkpointer_.load({.renames = {{"weight", "head.w"}, {"b*", "head.b*"}}},
                     target_of("/model/head.w", "/model/head.bias"));
  EXPECT_EQ(again_.weight, saved_.weight);
  EXPECT_EQ(again_.bias, saved_.bias);
  again_ = Model(0);
  // The longest beginning that fits, and an exact name before all.
  checkpointer_.load({.renames = {{"*", "a.*"}, {"we*", "b.*"}, {"bias", "c"}}},
                     target_of("/model/b.ight", "/model/c"));
  EXPECT_EQ(again_.weight, saved_.weight);
  EXPECT_EQ(again_.bias, saved_.bias);
  const auto wrong = target_of("/model/weight", "/model/bias");
  for (const auto& renames : std::vector<std::map<std::string, std::string>>{
           {{"bias", "weight"}}, {{"bias", "x*"}}, {{"b*", "x"}}, {{"b*s", "x*"}}, {{"*b*", "x*"}}, {{"", "x"}}}) {
    collective_error(ErrorKind::usage, "prepare", [&] { checkpointer_.load({.renames = renames}, wrong); });
  }
}

// Row-parallel columns, through memory and through a function.
TEST_F(PartialLoad, ConvertsDtypesWhereItIsAsked) {
  const auto columns = 1000 / static_cast<std::uint64_t>(world_size());
  const auto first = columns * static_cast<std::uint64_t>(world_rank());
  const auto shard = Shard::block({0, first}, {120, columns});
  std::vector<std::uint16_t> halves(120 * columns, 0xFFFF);
  std::vector<float> bias(33);
  std::vector<float> steps(1, -1);
  LoadTarget target;
  target.state.add_mutable("/model/weight", DType::bfloat16, {120, 1000}, halves.data(), shard);
  Tensor by_function{{"/model/bias", DType::float32, {33}, Shard::whole()}, {}};
  by_function.memory.write = [&](std::uint64_t at, std::span<const std::byte> from) {
    std::memcpy(std::as_writable_bytes(std::span(bias)).subspan(at).data(), from.data(), from.size());
  };
  target.state.add(by_function);
  const auto error = collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, target); });
  EXPECT_THAT(error.what(), HasSubstr("float32 [120, 1000] in the checkpoint, bfloat16 [120, 1000] wanted"));
  checkpointer_.load({.convert_dtypes = true}, target);
  for (std::size_t row = 0; row < 120; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const auto exact = saved_.weight[row * 1000 + first + column];
      const auto half = std::bit_cast<float>(std::uint32_t{halves[row * columns + column]} << 16U);
      // Half of the last of its 8 bits.
      ASSERT_LE(std::abs(exact - half), std::abs(exact) * 0x1p-8F) << row << ' ' << column;
    }
  }
  for (std::size_t i = 0; i < bias.size(); ++i) EXPECT_EQ(bias[i], static_cast<float>(saved_.bias[i]));
  LoadTarget no_way;
  no_way.state.add_mutable("/optimizer/steps", DType::float32, {}, steps.data());
  collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({.convert_dtypes = true}, no_way); });
}

TEST_F(PartialLoad, MakesATensorFromAnother) {
  std::vector<float> made(33);
  auto target = again_.target();
  target.state.add_mutable("/model/made", DType::float32, {33}, made.data());
  target.made_from["/model/made"] = "/model/bias";
  const auto report = checkpointer_.load({}, target);
  EXPECT_EQ(again_, saved_);
  for (std::size_t i = 0; i < made.size(); ++i) EXPECT_EQ(made[i], static_cast<float>(saved_.bias[i]));
  EXPECT_EQ(all_read(report), kPayloadBytes);
}

TEST_F(PartialLoad, ReadsOnceOrEachForItself) {
  EXPECT_EQ(all_read(checkpointer_.load({}, again_.target())), kPayloadBytes);
  EXPECT_EQ(again_, saved_);
  again_ = Model(0);
  const auto report = checkpointer_.load({.each_rank_reads = true}, again_.target());
  EXPECT_EQ(again_, saved_);
  EXPECT_EQ(report.read_bytes, kPayloadBytes);
  // Ranks that want nothing read nothing.
  again_ = Model(0);
  const auto some = checkpointer_.load({.each_rank_reads = true}, world_rank() == 0 ? again_.target() : LoadTarget());
  EXPECT_EQ(some.read_bytes, world_rank() == 0 ? kPayloadBytes : 0);
  collective_error(ErrorKind::usage, "find",
                   [&] { checkpointer_.load({.each_rank_reads = true, .num_workers = 1}, again_.target()); });
}

// One rank reads more than its buffers hold at once, and all want it: the bound that Checkpointer::load names.
TEST_F(PartialLoad, KeepsToTheMemoryThatItNames) {
  constexpr std::uint64_t kReadBuffer = (std::uint64_t{16} << 20) + (std::uint64_t{64} << 10);
  constexpr std::uint64_t kBytes = std::uint64_t{100} << 20;
  const ShardDescription large{"/model/large", DType::uint8, {kBytes}, Shard::whole()};
  State state;
  state.add(
      Tensor{large, {.read = [](std::uint64_t, std::span<std::byte> to) { std::ranges::fill(to, std::byte{7}); }}});
  checkpointer_.save(state, {.tag = "large"});
  LoadTarget target;
  std::uint64_t seen = 0;
  target.state.add(
      Tensor{large, {.write = [&](std::uint64_t, std::span<const std::byte> from) { seen += from.size(); }}});
  const auto report = checkpointer_.load({.tag = "large", .num_workers = 1}, target);
  EXPECT_EQ(seen, kBytes);
  EXPECT_LE(report.buffer_bytes, 4 * kReadBuffer + (std::uint64_t{16} << 20));
  if (report.read_bytes == kBytes) {
    EXPECT_GE(report.buffer_bytes, 3 * kReadBuffer);
  }
}

// Where one node is all there is, as once per job; parallel.partial_load_test.nodes has more.
TEST_F(PartialLoad, ReadsOncePerNode) {
  const mpi::CommView comm(MPI_COMM_WORLD, 60);
  const auto node_of = mpi::node_of_ranks(comm);
  const auto nodes = static_cast<std::uint64_t>(1 + *std::ranges::max_element(node_of));
  const auto read_by_node = [&](const LoadReport& report) {
    std::vector<std::uint64_t> bytes(nodes, 0);
    bytes[static_cast<std::size_t>(node_of[static_cast<std::size_t>(world_rank())])] = report.read_bytes;
    comm.all_sum(bytes);
    return bytes;
  };
  const LoadOptions per_node{.read_once_per = ReadOncePer::node};
  EXPECT_THAT(read_by_node(checkpointer_.load(per_node, again_.target())), Each(kPayloadBytes));
  EXPECT_EQ(again_, saved_);

  auto one_reader = per_node;
  one_reader.num_workers = 1;
  again_ = Model(0);
  const auto report = checkpointer_.load(one_reader, again_.target());
  EXPECT_EQ(again_, saved_);
  std::vector<std::uint64_t> readers{report.read_bytes > 0 ? std::uint64_t{1} : 0};
  comm.all_sum(readers);
  EXPECT_EQ(readers[0], nodes);
  EXPECT_THAT(read_by_node(report), Each(kPayloadBytes));

  // A node reads what its ranks want, and no more.
  again_ = Model(0);
  const auto some = checkpointer_.load(per_node, world_rank() == 0 ? again_.target() : LoadTarget());
  EXPECT_EQ(again_, world_rank() == 0 ? saved_ : Model(0));
  EXPECT_EQ(some.read_bytes, world_rank() == 0 ? kPayloadBytes : 0);

  collective_error(ErrorKind::usage, "find", [&] {
    checkpointer_.load({.read_once_per = ReadOncePer::node, .each_rank_reads = true}, again_.target());
  });
}

// Each node finds it, and each finds it once; what is told names them as the job does.
TEST_F(PartialLoad, TellsAllOfWhatTheNodesFindDamaged) {
  const mpi::CommView comm(MPI_COMM_WORLD, 60);
  const auto node_of = mpi::node_of_ranks(comm);
  const auto file = scratch_.path() / "t.h5";
  const auto tensors = h5::read_catalog(file).tensors;
  const auto weight = std::ranges::find(tensors, "/model/weight", &StoredTensor::path);
  comm.barrier();
  if (world_rank() == 0) test::flip(file, weight->offset + 4321);
  comm.barrier();
  const auto wanting = [&](int node) {  // that node's ranks alone, or all
    const bool requests = node < 0 || node_of[static_cast<std::size_t>(world_rank())] == node;
    return requests ? again_.target() : LoadTarget();
  };
  const int nodes = 1 + *std::ranges::max_element(node_of);
  const auto nodes_that_failed = [&](int node) {
    const auto error = collective_error(ErrorKind::corrupt, "read", [&] {
      checkpointer_.load({.tag = "t", .read_once_per = ReadOncePer::node}, wanting(node));
    });
    EXPECT_THAT(error.what(), HasSubstr("/model/weight bytes [0, "));
    std::vector<int> failed;
    for (const auto& failure : error.failures()) failed.push_back(node_of[static_cast<std::size_t>(failure.rank)]);
    std::ranges::sort(failed);
    return failed;
  };
  std::vector<int> all(static_cast<std::size_t>(nodes));
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(nodes_that_failed(-1), all);
  for (const int node : all) EXPECT_THAT(nodes_that_failed(node), ElementsAre(node));
}

// Ranks of a node look at what another one has read: it must not read on over what one that is slow still needs. Every
// other tensor is wanted by rank 0 alone, so that each is read by itself, and those that all want by others than rank
// 0.
TEST_F(PartialLoad, WaitsForRanksThatAreSlow) {
  constexpr std::size_t kTensors = 60;
  constexpr std::size_t kValues = 8192;
  std::vector<std::vector<float>> values(kTensors);
  State state;
  for (std::size_t i = 0; i < kTensors; ++i) {
    values[i].assign(kValues, static_cast<float>(i + 1));
    state.add(fmt::format("/model/{:02}", i), DType::float32, {kValues}, values[i].data());
  }
  checkpointer_.save(state, {.tag = "many"});
  std::vector<std::vector<float>> loaded(kTensors, std::vector<float>(kValues));
  LoadTarget target;
  for (std::size_t i = 0; i < kTensors; ++i) {
    if (i % 2 == 1 && world_rank() != 0) continue;
    Tensor tensor{{fmt::format("/model/{:02}", i), DType::float32, {kValues}, Shard::whole()}, {}};
    tensor.memory.write = [&to = loaded[i]](std::uint64_t at, std::span<const std::byte> from) {
      if (world_rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      std::memcpy(std::as_writable_bytes(std::span(to)).subspan(at).data(), from.data(), from.size());
    };
    target.state.add(tensor);
  }
  checkpointer_.load({.tag = "many"}, target);
  for (std::size_t i = 0; i < kTensors; ++i) {
    if (i % 2 == 1 && world_rank() != 0) continue;
    EXPECT_EQ(loaded[i], values[i]) << i;
  }
}

TEST_F(PartialLoad, OptionsAreTheSameEverywhere) {
  if (world_size() == 1) GTEST_SKIP() << "one rank agrees with itself";
  const auto mine = world_rank() == 0 ? OnDifference::warn : OnDifference::ignore;
  collective_error(ErrorKind::mismatch, "find", [&] { checkpointer_.load({.missing = mine}, again_.target()); });
}

}  // namespace
}  // namespace muster::partial_load_test
