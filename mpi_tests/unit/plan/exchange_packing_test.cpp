// What ranks say and want, cut so that they say and want much of it together.

#include "plan/description.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/read_requests.hpp"
#include "support/sample.hpp"

namespace muster::exchange_packing_test {
namespace {

using plan::ReadRequest;

std::vector<std::string> paths_in(const Bytes& packed) {
  std::vector<std::string> paths;
  for (const auto& description : plan::unpack(packed)) paths.push_back(description.path);
  return paths;
}

TEST(PackedDescriptions, PutWholeTensorsBeforePartsBySection) {
  State state;
  state.add("/optimizer/b/exp_avg", DType::float32, {8}, nullptr, Shard::flat(4, 2));
  state.add("/model/a", DType::float32, {8}, nullptr, Shard::flat(0, 4));
  state.add("/optimizer/step", DType::int64, {}, nullptr);
  state.add("/model/c", DType::float32, {8}, nullptr, Shard::flat(0, 4));
  const auto packed = plan::pack_for_exchange(plan::describe(state));
  std::vector<std::vector<std::string>> paths;
  for (const auto& bytes : packed) paths.push_back(paths_in(bytes));
  EXPECT_EQ(paths, (std::vector<std::vector<std::string>>{
                       {"/optimizer/step"}, {"/model/a", "/model/c"}, {"/optimizer/b/exp_avg"}}));
}

TEST(PackedDescriptions, AreNoneForNoTensors) { EXPECT_TRUE(plan::pack_for_exchange(plan::describe(State{})).empty()); }

TEST(PackedRequests, PutWholeTensorsBeforePartsBySection) {
  const auto layout = test::layout_of(
      test::replicated(1, {{"/m/a", DType::uint8, {9}}, {"/m/b", DType::uint8, {9}}, {"/o/c", DType::uint8, {9}}}),
      4096);
  const auto packed = plan::pack_for_exchange(layout, {{{0, 4}, 0}, {{0, 9}, 1}, {{3, 6}, 2}});
  ASSERT_EQ(packed.size(), 3U);
  const std::vector<ReadRequest> expected{{{0, 9}, 1}, {{0, 4}, 0}, {{3, 6}, 2}};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto requests = plan::unpack_requests(packed[i]);
    ASSERT_EQ(requests.size(), 1U);
    EXPECT_EQ(requests[0].tensor, expected[i].tensor);
    EXPECT_EQ(requests[0].offset, expected[i].offset);
    EXPECT_EQ(requests[0].bytes, expected[i].bytes);
  }
  EXPECT_TRUE(plan::pack_for_exchange(layout, {}).empty());
}

TEST(PackedRequests, OfTheModelAreTheSameWhateverIsWantedOfTheOptimizer) {
  const auto layout = test::layout_of(
      test::replicated(1, {{"/m/a", DType::uint8, {9}}, {"/m/b", DType::uint8, {9}}, {"/o/c", DType::uint8, {9}}}),
      4096);
  const auto model = plan::pack_for_exchange(layout, {{{0, 9}, 0}, {{0, 9}, 1}});
  ASSERT_EQ(model.size(), 1U);
  const auto with_whole = plan::pack_for_exchange(layout, {{{0, 9}, 0}, {{0, 9}, 1}, {{0, 9}, 2}});
  ASSERT_EQ(with_whole.size(), 2U);
  EXPECT_EQ(with_whole[0], model[0]);
  EXPECT_EQ(plan::pack_for_exchange(layout, {{{0, 9}, 0}, {{0, 9}, 1}, {{3, 6}, 2}}).at(0), model[0]);
}

}  // namespace
}  // namespace muster::exchange_packing_test
