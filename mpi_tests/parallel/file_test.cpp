// The file that a save leaves: head first, payload by the transfers promised, the same bytes for the same plan.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "h5/catalog_reader.hpp"
#include "h5/handle.hpp"
#include "store/verify.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"
#include "support/transfers.hpp"

namespace muster::file_test {
namespace {

using test::Model;
using test::Scratch;
using test::world_rank;

class File : public testing::Test {
 protected:
  SaveReport save(const std::string& tag, nlohmann::json content = nullptr) {
    return checkpointer_.save(model_.state(), {.tag = tag, .user_content = std::move(content)});
  }

  Scratch scratch_;
  Model model_{4};
  Checkpointer checkpointer_{MPI_COMM_WORLD, scratch_.path()};
};

TEST_F(File, HasAllMetadataBeforeTheFirstPayloadByte) {
  const auto report = save("t");
  const auto catalog = h5::read_catalog(report.file);
  const auto first_payload = catalog.head_bytes + catalog.tables_bytes;
  const h5::File file(H5Fopen(report.file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "H5Fopen");
  std::vector<std::string> objects = {"/", "/model", "/optimizer", "/run", "/integrity", "/telemetry"};
  for (const auto& tensor : catalog.tensors) {
    objects.push_back(tensor.path);
    EXPECT_GE(tensor.offset, first_payload);
    const h5::DatasetHandle dataset(H5Dopen2(file.get(), tensor.path.c_str(), H5P_DEFAULT), "H5Dopen2");
    EXPECT_EQ(H5Dget_offset(dataset.get()), tensor.offset);
  }
  for (const auto& object : objects) {
    hobj_ref_t address = 0;
    ASSERT_GE(H5Rcreate(&address, file.get(), object.c_str(), H5R_OBJECT, H5I_INVALID_HID), 0) << object;
    EXPECT_LT(address, catalog.head_bytes) << object;
  }
}

TEST_F(File, HoldsEveryTensorAsAPlainDataset) {
  const auto report = save("t");
  const h5::File file(H5Fopen(report.file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "H5Fopen");
  const h5::DatasetHandle dataset(H5Dopen2(file.get(), "/model/weight", H5P_DEFAULT), "H5Dopen2");
  std::vector<float> weight(model_.weight.size());
  ASSERT_GE(H5Dread(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, weight.data()), 0);
  EXPECT_EQ(weight, model_.weight);
}

TEST_F(File, IsSoundInEveryByte) {
  const auto report = save("t", {{"a", 1}});
  const auto result = store::verify(report.file, h5::read_catalog(report.file), {});
  EXPECT_TRUE(result.damages.empty());
}

TEST_F(File, OfTheCollectiveEngineIsWrittenCollectivelyWhereRanksShareADataset) {
  Checkpointer collective(MPI_COMM_WORLD, scratch_.path(), {.engine = EngineChoice::collective});
  const auto report = collective.save(model_.state(), {.tag = "t"});
  const auto expected = test::expected_transfers(h5::read_catalog(report.file), world_rank());
  EXPECT_EQ(report.collective_transfers, expected.collective);
  EXPECT_EQ(report.independent_transfers, expected.independent);
}

TEST_F(File, OfTheSamePlanDiffersOnlyInTheTables) {
  const auto first = save("first", {{"n", 1}});
  const auto second = save("second", {{"n", 2}});
  EXPECT_FALSE(first.plan_reused);
  EXPECT_TRUE(second.plan_reused);
  EXPECT_EQ(second.sequence, first.sequence + 1);
  // A head built anew is the same as the one kept.
  Checkpointer other(MPI_COMM_WORLD, scratch_.path());
  const auto third = other.save(model_.state(), {.tag = "third", .user_content = {{"n", 3}}});
  EXPECT_FALSE(third.plan_reused);

  const auto catalog = h5::read_catalog(first.file);
  const auto a = test::read_file(first.file);
  for (const auto& report : {second, third}) {
    const auto b = test::read_file(report.file);
    ASSERT_EQ(a.size(), b.size());
    const auto at = [](std::uint64_t offset) { return static_cast<std::ptrdiff_t>(offset); };
    EXPECT_TRUE(std::equal(a.begin(), a.begin() + at(catalog.head_bytes), b.begin())) << report.tag << ": head";
    const auto payload = at(catalog.head_bytes + catalog.tables_bytes);
    EXPECT_TRUE(std::equal(a.begin() + payload, a.end(), b.begin() + payload)) << report.tag << ": payload";
    EXPECT_NE(a, b);
    EXPECT_TRUE(store::verify(report.file, h5::read_catalog(report.file), {}).damages.empty());
  }
}

TEST_F(File, OfTheSamePlanHoldsTheNewValues) {
  save("first");
  model_ = Model(99);
  EXPECT_TRUE(save("second").plan_reused);
  Model again(0);
  checkpointer_.load({.tag = "second"}, again.target());
  EXPECT_EQ(again, model_);
  checkpointer_.load({.tag = "first"}, again.target());
  EXPECT_EQ(again, Model(4));
}

TEST_F(File, IsPlannedAnewWhereTheUserContentOutgrowsItsRoom) {
  save("small", std::string(10, 'x'));
  EXPECT_TRUE(save("still_small", std::string(900, 'x')).plan_reused);
  const std::string large(5000, 'y');
  EXPECT_FALSE(save("large", large).plan_reused);
  EXPECT_EQ(checkpointer_.load({}, model_.target()).user_content, large);
  // The room stays, so that a size that goes up and down does not change the plan each time.
  EXPECT_TRUE(save("small_again", 1).plan_reused);
  EXPECT_EQ(checkpointer_.load({}, model_.target()).user_content, 1);
}

TEST_F(File, IsPlannedAnewWhereTheUserContentComesOrGoes) {
  save("without");
  EXPECT_FALSE(save("with", 1).plan_reused);
  EXPECT_FALSE(save("without_again").plan_reused);
  EXPECT_EQ(checkpointer_.load({}, model_.target()).user_content, std::nullopt);
}

TEST_F(File, IsPlannedAnewWhereTheStateChanges) {
  save("first");
  State state = model_.state();
  const float more = 1;
  state.add("/model/more", DType::float32, {}, &more);
  EXPECT_FALSE(checkpointer_.save(state, {.tag = "more"}).plan_reused);
  EXPECT_TRUE(checkpointer_.save(state, {.tag = "more_again"}).plan_reused);
  EXPECT_FALSE(checkpointer_.save(state, {.tag = "workers", .num_workers = 1}).plan_reused);
  EXPECT_FALSE(save("fewer").plan_reused);
  EXPECT_EQ(checkpointer_.load({}, model_.target()).contents.tensors.size(), 3U);
}

TEST_F(File, StartsLargeTensorsAtTheAlignment) {
  for (const std::uint64_t alignment : {std::uint64_t{512}, std::uint64_t{4096}, std::uint64_t{65536}}) {
    Checkpointer aligned(MPI_COMM_WORLD, scratch_.path(), {.alignment_bytes = alignment});
    const auto report = aligned.save(model_.state(), {.tag = "a" + std::to_string(alignment)});
    for (const auto& tensor : h5::read_catalog(report.file).tensors) {
      if (tensor.path != "/model/weight") continue;
      EXPECT_EQ(tensor.offset % alignment, 0U);
    }
  }
}

TEST_F(File, TellsWhatEveryRankDid) {
  const auto report = save("t");
  const auto catalog = h5::read_catalog(report.file);
  ASSERT_EQ(catalog.telemetry.size(), static_cast<std::size_t>(test::world_size()));
  std::uint64_t bytes = 0;
  for (std::size_t rank = 0; rank < catalog.telemetry.size(); ++rank) {
    EXPECT_EQ(catalog.telemetry[rank].rank, static_cast<int>(rank));
    EXPECT_GT(catalog.telemetry[rank].seconds[SavePhase::write], 0);
    bytes += catalog.telemetry[rank].bytes;
  }
  EXPECT_EQ(bytes, report.payload_bytes);
  EXPECT_EQ(report.phase_s.size(), 6U);
}

}  // namespace
}  // namespace muster::file_test
