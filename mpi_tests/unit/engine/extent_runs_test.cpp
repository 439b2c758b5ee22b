// Which extents go out together.

#include "engine/extent_runs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/balance.hpp"
#include "plan/layout.hpp"
#include "support/sample.hpp"

namespace muster::engine::extent_runs_test {
namespace {

using test::layout_of;
using test::pick;
using test::Random;
using test::replicated;

// Every extent of every writer lies in exactly one run of that writer, and no run touches another writer's bytes.
void expect_sound(const Layout& layout) {
  std::size_t extents = 0;
  for (int writer = 0; writer < layout.world_size; ++writer) {
    std::uint64_t end = 0;
    for (const auto& run : extent_runs(layout, writer)) {
      EXPECT_GT(run.offset + run.bytes, end);
      EXPECT_GE(run.offset, end);
      end = run.offset + run.bytes;
      extents += run.extents;
      for (std::size_t i = run.first_extent; i < run.first_extent + run.extents; ++i) {
        EXPECT_EQ(layout.extents[i].writer, writer);
      }
      EXPECT_EQ(layout.extents[run.first_extent].offset, run.offset);
      const auto& last = layout.extents[run.first_extent + run.extents - 1];
      EXPECT_EQ(last.offset + last.bytes, end);
      const auto before = run.first_extent > 0 ? layout.extents[run.first_extent - 1].writer : -1;
      EXPECT_NE(before, writer);
    }
  }
  EXPECT_EQ(extents, layout.extents.size());
}

TEST(ExtentRuns, OfAnyLayoutCoverEachExtentOnce) {
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<GlobalTensor> tensors;
    const auto count = pick(random, 0, 40);
    for (std::uint64_t i = 0; i < count; ++i) {
      tensors.push_back({"/model/t" + std::to_string(i), test::random_dtype(random), {pick(random, 0, 200000)}});
    }
    const auto ranks = static_cast<int>(pick(random, 1, 9));
    expect_sound(layout_of(replicated(ranks, tensors), std::uint64_t{512} << pick(random, 0, 7)));
  }
}

TEST(ExtentRuns, EndWhereAnotherWriterBegins) {
  Layout layout;
  layout.world_size = 2;
  layout.extents = {{{4096, 100}, 0, 0}, {{4196, 100}, 0, 1}, {{4296, 100}, 0, 0}, {{8192, 50}, 1, 0}};
  const auto runs = extent_runs(layout, 0);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].offset, 4096U);
  EXPECT_EQ(runs[0].bytes, 100U);
  EXPECT_EQ(runs[1].offset, 4296U);
  EXPECT_EQ(runs[1].bytes, 8192U + 50U - 4296U);  // through the padding, which is nobody else's
  EXPECT_EQ(extent_runs(layout, 1).size(), 1U);
}

TEST(ExtentRuns, MakeOneRunAWriterOfManySmallTensors) {
  std::vector<GlobalTensor> tensors;
  for (int i = 0; i < 5000; ++i) tensors.push_back({"/model/t" + std::to_string(10000 + i), DType::float32, {64, 64}});
  const auto layout = layout_of(replicated(4, tensors), 4096);
  for (int writer = 0; writer < 4; ++writer) EXPECT_EQ(extent_runs(layout, writer).size(), 1U);
}

TEST(ExtentRuns, AreFewAtThousandsOfRanks) {
  std::vector<GlobalTensor> tensors;
  for (int i = 0; i < 3000; ++i)
    tensors.push_back({"/model/t" + std::to_string(10000 + i), DType::float32, {700, 700}});
  const auto layout = layout_of(replicated(4096, tensors), 4096);
  std::size_t runs = 0;
  for (int writer = 0; writer < 4096; writer += 64) runs += extent_runs(layout, writer).size();
  EXPECT_LE(runs, 2U * 64);
}

}  // namespace
}  // namespace muster::engine::extent_runs_test
