// What a rank may say that it holds.

#include "plan/description.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <muster/muster.hpp>

#include "support/expect_error.hpp"

namespace muster::description_test {
namespace {

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

std::array<std::byte, 64> memory;

void add(State& state, const std::string& path, Shape shape = {4}, Shard shard = Shard::whole()) {
  state.add(path, DType::float32, std::move(shape), memory.data(), std::move(shard));
}

std::string fault_of(const State& state) {
  return error_of(ErrorKind::usage, [&] { plan::check_state(state); });
}

TEST(CheckState, AcceptsWhatIsRight) {
  State state;
  add(state, "/model/a");
  add(state, "/model/b.c");
  add(state, "/model/" + std::string(1000, 'x'));
  add(state, object_path({"model", "./%\n"}));
  add(state, "/modela");
  add(state, "/rows", {3, 4}, Shard::flat(4, 4));
  state.add("/nothing", DType::int8, {0, 3}, nullptr);
  state.add("/no_part", DType::int8, {3}, nullptr, Shard::flat(3, 0));
  state.add(Document{"/scheduler", {{"epoch", 1}}});
  EXPECT_NO_THROW(plan::check_state(state));
}

TEST(CheckState, ListsEverythingThatIsWrong) {
  State state;
  add(state, "/model/twice");
  add(state, "/model/twice");
  add(state, "/run");
  add(state, "/integrity/x");
  add(state, "/model/outside", {4}, Shard::flat(2, 3));
  add(state, "/model/scattered", {4, 4}, Shard::block({0, 3}, {4, 2}));
  add(state, "/model/huge", {std::uint64_t{1} << 40, std::uint64_t{1} << 40});
  add(state, "/group");
  add(state, "/group/member");
  add(state, "no_slash");
  state.add("/model/no_memory", DType::float32, {2}, nullptr);
  state.add(Document{"/telemetry", 1});
  EXPECT_THAT(fault_of(state),
              AllOf(HasSubstr("/model/twice: given 2 times"), HasSubstr("/run: the name is muster's own"),
                    HasSubstr("/integrity/x: the name is muster's own"), HasSubstr("/model/outside: elements [2, 5)"),
                    HasSubstr("/model/scattered: block [0, 4) x [3, 5) does not lie inside shape [4, 4]"),
                    HasSubstr("/model/huge: shape"), HasSubstr("/group/member: /group is a tensor or document itself"),
                    HasSubstr("'no_slash'"), HasSubstr("/model/no_memory: no memory"),
                    HasSubstr("/telemetry: the name is muster's own")));
}

TEST(CheckState, RefusesADocumentUnderTheNameOfATensor) {
  State state;
  add(state, "/user_content");
  state.add(Document{"/user_content", 1});
  EXPECT_THAT(fault_of(state), HasSubstr("/user_content: given 2 times"));
}

TEST(CheckState, RefusesPathsThatObjectPathCannotGive) {
  for (const std::string path :
       {"", "/", "a", "//a", "/a/", "/a//b", "/.", "/a/./b", "/a%b", "/a%2f", "/%2Ea", "/a%41"}) {
    State state;
    add(state, path);
    EXPECT_THAT(fault_of(state), HasSubstr("'" + path + "' is not a path")) << path;
  }
  State state;
  add(state, std::string("/a\0b", 4));
  fault_of(state);
}

TEST(CheckState, RefusesMoreDimsThanHdf5Has) {
  State state;
  add(state, "/most", Shape(32, 1));
  EXPECT_NO_THROW(plan::check_state(state));
  add(state, "/more", Shape(33, 1));
  EXPECT_THAT(fault_of(state), HasSubstr("/more"));
}

TEST(CheckState, RefusesGroupsDeeperThanAReaderFollows) {
  State state;
  add(state, "/1/2/3/4/5/6/7/8/leaf");
  EXPECT_NO_THROW(plan::check_state(state));
  add(state, "/1/2/3/4/5/6/7/8/9/leaf");
  EXPECT_THAT(fault_of(state), HasSubstr("/1/2/3/4/5/6/7/8/9/leaf"));
}

TEST(Describe, SortsByPathAndPartsWholeFromShards) {
  State state;
  add(state, "/z");
  add(state, "/part", {8}, Shard::flat(0, 4));
  add(state, "/a");
  const auto described = plan::describe(state);
  ASSERT_EQ(described.whole.size(), 2U);
  EXPECT_EQ(described.whole[0].path, "/a");
  EXPECT_EQ(described.whole[1].path, "/z");
  ASSERT_EQ(described.parts.size(), 1U);
  EXPECT_EQ(described.parts[0].path, "/part");
}

TEST(Describe, PackedDescriptionsComeBackEqual) {
  const std::vector<ShardDescription> given = {
      {"/a", DType::bfloat16, {}, Shard::whole()},
      {"/b", DType::complex128, {3, 0, 9}, Shard::flat(7, 0)},
      {std::string("/c\0\xff", 4), DType::boolean, {1U << 31, 5}, Shard::block({1, 0}, {2, 5})}};
  const auto again = plan::unpack(plan::pack(given));
  ASSERT_EQ(again.size(), given.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(again[i].path, given[i].path);
    EXPECT_EQ(again[i].dtype, given[i].dtype);
    EXPECT_EQ(again[i].shape, given[i].shape);
    EXPECT_EQ(again[i].shard, given[i].shard);
  }
}

TEST(Describe, PacksWhatManyTensorsHaveInCommonOnce) {
  std::vector<ShardDescription> layers;
  for (int layer = 0; layer < 1000; ++layer) {
    const auto prefix = "/optimizer/model.layers." + std::to_string(layer) + ".self_attn.qkv_proj.weight/";
    for (const auto* moment : {"exp_avg", "exp_avg_sq"}) {
      layers.push_back({prefix + moment,
                        DType::float32,
                        {96, 8},
                        Shard::blocks({{{4, 0}, {4, 8}}, {{36, 0}, {4, 8}}, {{68, 0}, {4, 8}}})});
    }
    layers.push_back({prefix + "step", DType::int64, {}, Shard::flat(0, 1)});
  }
  layers.push_back({"/optimizer/model.layers.9", DType::float32, {96, 8}, Shard::whole()});
  const auto packed = plan::pack(layers);
  EXPECT_LT(packed.size(), 45 * layers.size());
  const auto again = plan::unpack(packed);
  ASSERT_EQ(again.size(), layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    ASSERT_EQ(again[i].path, layers[i].path);
    ASSERT_EQ(again[i].dtype, layers[i].dtype);
    ASSERT_EQ(again[i].shape, layers[i].shape);
    ASSERT_EQ(again[i].shard, layers[i].shard);
  }
}

TEST(Describe, AnyDifferenceChangesThePackedBytes) {
  const ShardDescription base{"/a", DType::float32, {4, 4}, Shard::flat(0, 8)};
  std::vector<ShardDescription> others(5, base);
  others[0].path = "/b";
  others[1].dtype = DType::int32;
  others[2].shape = {2, 8};
  others[3].shard = Shard::flat(8, 8);
  others[4].shard = Shard::block({0, 0}, {2, 4});
  for (const auto& other : others) EXPECT_NE(plan::pack({base}), plan::pack({other}));
}

}  // namespace
}  // namespace muster::description_test
