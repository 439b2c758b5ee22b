// Saving a State and loading it again: every byte comes back, whatever the tensors, on any number of ranks.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <muster/muster.hpp>
#include <numeric>

#include "h5/catalog_reader.hpp"
#include "model/dtypes.hpp"
#include "support/model.hpp"
#include "support/sample.hpp"
#include "support/scratch.hpp"
#include "support/transfers.hpp"

namespace muster::save_load_test {
namespace {

using test::Model;
using test::Scratch;
using test::world_rank;
using test::world_size;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::byte> random_bytes(std::uint64_t seed, std::size_t count) {
  test::Random random(seed);
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A tensor of random bytes under a path, and room to load it into.
struct Block {
  Block(std::string path, DType dtype, Shape shape, std::uint64_t seed)
      : description{std::move(path), dtype, std::move(shape), Shard::whole()},
        saved(random_bytes(seed, element_count(description.shape) * item_bytes(dtype))),
        loaded(saved.size(), std::byte{0xEE}) {}
  void add_to(State& state, std::vector<std::byte>& bytes) const {
    state.add_mutable(description.path, description.dtype, description.shape, bytes.data());
  }
  ShardDescription description;
  std::vector<std::byte> saved;
  std::vector<std::byte> loaded;
};

void expect_round_trip(std::vector<Block>& blocks) {
  const Scratch scratch;
  State state;
  LoadTarget target;
  for (auto& block : blocks) block.add_to(state, block.saved);
  for (auto& block : blocks) block.add_to(target.state, block.loaded);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  checkpointer.save(state, {.tag = "t"});
  const auto loaded = checkpointer.load({}, target);
  EXPECT_THAT(loaded.warnings, IsEmpty());
  EXPECT_EQ(loaded.contents.tensors.size(), blocks.size());
  for (const auto& block : blocks) {
    EXPECT_EQ(block.saved, block.loaded) << block.description.path;
    const auto* found = loaded.contents.find_tensor(block.description.path);
    ASSERT_NE(found, nullptr) << block.description.path;
    EXPECT_EQ(found->dtype, block.description.dtype);
    EXPECT_EQ(found->shape, block.description.shape);
  }
}

TEST(SaveLoad, BringsBackEveryDtypeAndKindOfShape) {
  std::vector<Block> blocks;
  std::uint64_t seed = 1;
  for (const auto dtype : kAllDTypes) {
    for (const Shape& shape :
         {Shape{}, Shape{0}, Shape{1}, Shape{3, 0, 2}, Shape{7, 5}, Shape{2, 3, 4, 5}, Shape{4099}, Shape(32, 1)}) {
      const auto path = "/model/" + std::string(name(dtype)) + "." + std::to_string(seed);
      blocks.emplace_back(path, dtype, shape, seed++);
    }
  }
  expect_round_trip(blocks);
}

TEST(SaveLoad, BringsBackTensorsUnderAnyKey) {
  std::vector<Block> blocks;
  std::uint64_t seed = 1;
  for (const std::string key : {"a/b", ".", "..", "%2F", "100%", "with space", "tab\tand\nnewline", "\xff\xfe",
                                "\u00e9\u4e2d", "'\"\\", "a.b.c", "/", "//", "[0]", "*", "#", "-", "latest"}) {
    blocks.emplace_back(object_path({"model", key}), DType::float32, Shape{5}, seed++);
    blocks.emplace_back(object_path({"optimizer", key, "exp_avg"}), DType::float32, Shape{5}, seed++);
  }
  blocks.emplace_back(object_path({"model", std::string("nul\0inside", 10)}), DType::int8, Shape{3}, seed++);
  blocks.emplace_back(object_path({"model", std::string(4000, 'k')}), DType::int8, Shape{3}, seed++);
  blocks.emplace_back("/1/2/3/4/5/6/7/8/leaf", DType::int8, Shape{3}, seed++);
  blocks.emplace_back("/top", DType::int8, Shape{3}, seed++);
  expect_round_trip(blocks);
}

TEST(SaveLoad, BringsBackThousandsOfSmallTensors) {
  std::vector<Block> blocks;
  for (std::uint64_t i = 0; i < 1500; ++i) {
    blocks.emplace_back("/model/layer." + std::to_string(i), DType::bfloat16, Shape{i % 50}, i);
  }
  expect_round_trip(blocks);
}

TEST(SaveLoad, BringsBackAnEmptyState) {
  std::vector<Block> none;
  expect_round_trip(none);
}

TEST(SaveLoad, SplitsALargeTensorOverAllRanksEvenly) {
  const Scratch scratch;
  constexpr std::size_t kElements = (48 << 20) / sizeof(float) + 12345;
  std::vector<float> saved(kElements);
  std::iota(saved.begin(), saved.end(), 1.0F);
  State state;
  state.add("/model/large", DType::float32, {kElements}, saved.data());
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(), {.engine = EngineChoice::collective});
  const auto report = checkpointer.save(state, {.tag = "large"});
  const auto catalog = h5::read_catalog(report.file);
  const auto expected = test::expected_transfers(catalog, test::world_rank());
  EXPECT_EQ(report.collective_transfers, expected.collective);
  EXPECT_EQ(report.independent_transfers, expected.independent);
  if (world_size() > 1) {
    EXPECT_GT(report.collective_transfers, 0U);
  }
  const auto mean = report.payload_bytes / static_cast<std::uint64_t>(world_size());
  ASSERT_EQ(catalog.telemetry.size(), static_cast<std::size_t>(world_size()));
  for (const auto& row : catalog.telemetry) {
    EXPECT_NEAR(static_cast<double>(row.bytes), static_cast<double>(mean), 8192) << "rank " << row.rank;
  }
  EXPECT_GE(catalog.extents.size(), 4U);

  std::vector<float> loaded(kElements);
  LoadTarget target;
  target.state.add_mutable("/model/large", DType::float32, {kElements}, loaded.data());
  const auto back = checkpointer.load({}, target);
  EXPECT_EQ(saved, loaded);
  // Read once in the whole job.
  std::uint64_t read = back.read_bytes;
  MPI_Allreduce(MPI_IN_PLACE, &read, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
  EXPECT_EQ(read, report.payload_bytes);
}

// A matrix in memory whose rows lie apart, reached through functions only.
class Strided {
 public:
  Strided(std::size_t rows, std::size_t row_bytes) : row_bytes_(row_bytes), memory_(rows * (row_bytes + kGap)) {}
  [[nodiscard]] TensorMemory reading() {
    return {.data = nullptr,
            .read =
                [this](std::uint64_t first, std::span<std::byte> to) {
                  for (auto& byte : to) byte = at(first++);
                },
            .write = {}};
  }
  [[nodiscard]] TensorMemory writing() {
    return {.data = nullptr, .read = {}, .write = [this](std::uint64_t first, std::span<const std::byte> from) {
              for (const auto byte : from) at(first++) = byte;
            }};
  }
  std::byte& at(std::uint64_t byte) { return memory_[byte / row_bytes_ * (row_bytes_ + kGap) + byte % row_bytes_]; }

 private:
  static constexpr std::size_t kGap = 13;
  std::size_t row_bytes_;
  std::vector<std::byte> memory_;
};

TEST(SaveLoad, ReadsAndWritesStridedMemoryThroughFunctions) {
  const Scratch scratch;
  constexpr std::size_t kRows = 5003;
  constexpr std::size_t kRowBytes = 4000;  // 19 MiB: more than one extent
  Strided saved(kRows, kRowBytes);
  Strided loaded(kRows, kRowBytes);
  for (std::uint64_t i = 0; i < kRows * kRowBytes; ++i) saved.at(i) = static_cast<std::byte>(i * 7 + i / 251);
  State state;
  state.add(Tensor{{"/model/strided", DType::float32, {kRows, kRowBytes / 4}, Shard::whole()}, saved.reading()});
  LoadTarget target;
  target.state.add(
      Tensor{{"/model/strided", DType::float32, {kRows, kRowBytes / 4}, Shard::whole()}, loaded.writing()});
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), state, {.tag = "strided"});
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), target);
  for (std::uint64_t i = 0; i < kRows * kRowBytes; ++i) ASSERT_EQ(saved.at(i), loaded.at(i)) << i;
}

TEST(SaveLoad, BringsBackARowOfEachRank) {
  const Scratch scratch;
  const auto rank = static_cast<std::uint64_t>(world_rank());
  const auto ranks = static_cast<std::uint64_t>(world_size());
  constexpr std::uint64_t kRow = 5056;
  const auto mine = random_bytes(rank + 1, kRow);
  Model model(1);
  auto state = model.state();
  state.add("/rng/cpu", DType::uint8, {ranks, kRow}, mine.data(), Shard::flat(rank * kRow, kRow));
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  const auto report = checkpointer.save(state, {.tag = "rows"});
  const auto catalog = h5::read_catalog(report.file);
  for (const auto& extent : catalog.extents) {
    const auto& tensor = catalog.tensors[extent.tensor];
    if (tensor.path != "/rng/cpu") continue;
    EXPECT_EQ(static_cast<std::uint64_t>(extent.writer), (extent.offset - tensor.offset) / kRow);
  }

  std::vector<std::byte> again(kRow);
  LoadTarget target;
  target.state.add_mutable("/rng/cpu", DType::uint8, {ranks, kRow}, again.data(), Shard::flat(rank * kRow, kRow));
  checkpointer.load({}, target);
  EXPECT_EQ(again, mine);

  // The next rank's row, by a block this time; the last rank wants nothing.
  std::vector<std::byte> next(kRow);
  LoadTarget other;
  const bool requests = rank + 1 < ranks;
  if (requests) {
    other.state.add_mutable("/rng/cpu", DType::uint8, {ranks, kRow}, next.data(),
                            Shard::block({rank + 1, 0}, {1, kRow}));
  }
  checkpointer.load({}, other);
  if (requests) {
    EXPECT_EQ(next, random_bytes(rank + 2, kRow));
  }
}

TEST(SaveLoad, BringsBackUnevenAndEmptyParts) {
  const Scratch scratch;
  // Rank r holds r * 100 elements; rank 0 nothing.
  const auto rank = static_cast<std::uint64_t>(world_rank());
  const auto ranks = static_cast<std::uint64_t>(world_size());
  if (ranks == 1) GTEST_SKIP() << "needs a rank that holds something";
  const auto total = 100 * ranks * (ranks - 1) / 2;
  const auto first = 100 * rank * (rank - (rank > 0 ? 1 : 0)) / 2;
  std::vector<std::int32_t> mine(100 * rank);
  std::iota(mine.begin(), mine.end(), static_cast<std::int32_t>(first));
  State state;
  state.add("/parts", DType::int32, {total}, mine.data(), Shard::flat(first, mine.size()));
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  checkpointer.save(state, {.tag = "parts"});
  std::vector<std::int32_t> all(total);
  LoadTarget target;
  target.state.add_mutable("/parts", DType::int32, {total}, all.data());
  checkpointer.load({}, target);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<std::int32_t>(i));
}

TEST(SaveLoad, TellsWhatACheckpointHolds) {
  const Scratch scratch;
  Model model(3);
  auto state = model.state();
  state.add(Document{"/scheduler", {{"last_epoch", 4}}});
  const auto report = save_checkpoint(MPI_COMM_WORLD, scratch.path() / "new" / "ckpts", state,
                                      {.tag = "step_12", .user_content = {{"batch", 7}}});
  EXPECT_EQ(report.tag, "step_12");
  EXPECT_EQ(report.file, scratch.path() / "new" / "ckpts" / "step_12.h5");
  EXPECT_EQ(report.sequence, 1U);
  EXPECT_EQ(report.payload_bytes, 120000 * 4 + 33 * 8 + 8U);
  EXPECT_EQ(report.file_bytes, std::filesystem::file_size(report.file));
  Model again(0);
  const auto loaded = load_checkpoint(MPI_COMM_WORLD, scratch.path() / "new" / "ckpts", again.target());
  EXPECT_EQ(again, model);
  EXPECT_EQ(loaded.contents.tag, "step_12");
  EXPECT_EQ(loaded.contents.step, 12);
  EXPECT_EQ(loaded.contents.sequence, 1U);
  EXPECT_EQ(loaded.contents.world_size, world_size());
  ASSERT_NE(loaded.contents.find_document("/scheduler"), nullptr);
  EXPECT_EQ(*loaded.contents.find_document("/scheduler"), nlohmann::json({{"last_epoch", 4}}));
  EXPECT_EQ(loaded.contents.find_document("/run"), nullptr);
  ASSERT_TRUE(loaded.user_content);
  EXPECT_EQ(*loaded.user_content, nlohmann::json({{"batch", 7}}));
}

TEST(SaveLoad, TellsTheStepGivenOrTheOneAtTheEndOfTheTag) {
  const Scratch scratch;
  Model model(1);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  const auto step_of = [&](const SaveOptions& options) {
    checkpointer.save(model.state(), options);
    return checkpointer.load({.tag = options.tag}, model.target()).contents.step;
  };
  EXPECT_EQ(step_of({.tag = "step_007"}), 7);
  EXPECT_EQ(step_of({.tag = "step_8", .step = -3}), -3);
  EXPECT_EQ(step_of({.tag = "best"}), std::nullopt);
  EXPECT_EQ(step_of({.tag = "1234567890123456789012"}), std::nullopt);
}

TEST(SaveLoad, TellsUserContentFromNone) {
  const Scratch scratch;
  Model model(1);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  checkpointer.save(model.state(), {.tag = "none"});
  EXPECT_EQ(checkpointer.load({}, model.target()).user_content, std::nullopt);
  for (const nlohmann::json& content : {nlohmann::json(0), nlohmann::json(false), nlohmann::json(""),
                                        nlohmann::json::object(), nlohmann::json::array({nullptr})}) {
    checkpointer.save(model.state(), {.tag = "some", .user_content = content, .replace_existing = true});
    EXPECT_EQ(checkpointer.load({}, model.target()).user_content, content);
  }
}

TEST(SaveLoad, SavesTheUserContentOfRank0Exactly) {
  const Scratch scratch;
  Model model(1);
  const nlohmann::json content = {{"nan_free", 0.1},
                                  {"inf", std::numeric_limits<double>::infinity()},
                                  {"tiny", 5e-324},
                                  {"large", std::numeric_limits<std::uint64_t>::max()},
                                  {"$key", nlohmann::json::binary({1, 2, 255})},
                                  {"text", "\u4e2d\n\""}};
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), model.state(),
                  {.tag = "t", .user_content = world_rank() == 0 ? content : nlohmann::json(world_rank())});
  EXPECT_EQ(load_checkpoint(MPI_COMM_WORLD, scratch.path(), model.target()).user_content, content);
}

TEST(SaveLoad, LetsFewRanksWriteAndRead) {
  const Scratch scratch;
  Model model(5);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  for (const int workers : {1, 2, 100}) {
    const auto tag = "w" + std::to_string(workers);
    const auto report = checkpointer.save(model.state(), {.tag = tag, .num_workers = workers});
    int writers = 0;
    for (const auto& row : h5::read_catalog(report.file).telemetry) writers += row.bytes > 0;
    EXPECT_EQ(writers, std::min(workers, world_size()));
    Model again(0);
    const auto loaded = checkpointer.load({.tag = tag, .num_workers = workers}, again.target());
    EXPECT_EQ(again, model);
    EXPECT_TRUE(world_rank() < workers || loaded.read_bytes == 0);
  }
}

TEST(SaveLoad, PreparesTheTargetFromWhatIsFoundAndCommitsOnce) {
  const Scratch scratch;
  Model model(9);
  Model again(0);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  checkpointer.save([&] { return model.state(); }, {.tag = "t"});
  int prepared = 0;
  int committed = 0;
  checkpointer.load({}, [&](const CheckpointContents& contents) {
    ++prepared;
    EXPECT_EQ(contents.tag, "t");
    auto target = again.target();
    target.commit = [&] {
      ++committed;
      EXPECT_EQ(again, model);
    };
    return target;
  });
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(committed, 1);
}

TEST(SaveLoad, WorksOnASubCommunicatorAndWithSeveralCheckpointers) {
  const Scratch scratch;
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, world_rank() % 2, -world_rank(), &half);  // in reverse order
  {
    const auto name = "half_" + std::to_string(world_rank() % 2);
    Model model(world_rank() % 2);
    Model all(7);
    Checkpointer mine(half, scratch.path() / name);
    Checkpointer ours(MPI_COMM_WORLD, scratch.path() / "ours");
    Checkpointer other(MPI_COMM_WORLD, scratch.path() / "other", {.alignment_bytes = 65536});
    for (int round = 0; round < 2; ++round) {
      mine.save(model.state(), {.tag = "t" + std::to_string(round)});
      ours.save(all.state(), {.tag = "t" + std::to_string(round)});
      other.save(all.state(), {.tag = "t" + std::to_string(round)});
    }
    Model again(-1);
    const auto report = mine.load({}, again.target());
    EXPECT_EQ(again, model);
    EXPECT_EQ(report.contents.world_size, (world_size() + 1 - world_rank() % 2) / 2);
    ours.load({}, again.target());
    EXPECT_EQ(again, all);
    Checkpointer moved = std::move(other);
    moved.load({}, again.target());
    EXPECT_EQ(again, all);
    EXPECT_EQ(moved.latest_tag(), "t1");
    EXPECT_EQ(moved.directory(), scratch.path() / "other");
  }
  MPI_Comm_free(&half);
}

}  // namespace
}  // namespace muster::save_load_test
