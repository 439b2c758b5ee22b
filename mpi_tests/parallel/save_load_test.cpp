// Saving a State and loading it again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <muster/muster.hpp>
#include <numeric>

#include "support/scratch.hpp"

namespace muster {
namespace {

using test::Scratch;
using test::world_rank;
using test::world_size;

std::vector<float> ramp(std::size_t count, float start) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), start);
  return values;
}

TEST(SaveLoad, BringsBackEveryByte) {
  const Scratch scratch;
  auto large = ramp(300000, 1.0F);
  auto small = ramp(7, -3.0F);
  State state;
  state.add("/model/large", DType::float32, {300, 1000}, large.data());
  state.add("/model/small", DType::float32, {7}, small.data());
  const auto report = save_checkpoint(MPI_COMM_WORLD, scratch.path() / "ckpts", state,
                                      {.tag = "step_12", .user_content = {{"batch", 7}}});
  EXPECT_EQ(report.payload_bytes, 300007 * sizeof(float));
  EXPECT_EQ(report.independent_transfers, 0U);
  EXPECT_EQ(report.sequence, 1U);

  std::vector<float> large_again(large.size());
  std::vector<float> small_again(small.size());
  LoadTarget target;
  target.sections = {"model"};
  target.state.add_mutable("/model/large", DType::float32, {300, 1000}, large_again.data());
  target.state.add_mutable("/model/small", DType::float32, {7}, small_again.data());
  const auto loaded = load_checkpoint(MPI_COMM_WORLD, scratch.path() / "ckpts", target);
  EXPECT_EQ(large_again, large);
  EXPECT_EQ(small_again, small);
  EXPECT_EQ(loaded.contents.tag, "step_12");
  EXPECT_EQ(loaded.contents.step, 12);
  EXPECT_EQ(loaded.contents.world_size, world_size());
  ASSERT_TRUE(loaded.user_content);
  EXPECT_EQ(*loaded.user_content, nlohmann::json({{"batch", 7}}));
  EXPECT_THAT(loaded.warnings, testing::IsEmpty());
}

}  // namespace
}  // namespace muster
