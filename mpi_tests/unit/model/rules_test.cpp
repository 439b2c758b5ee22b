// Rule tables: local shapes and grids to parts of global tensors, and back.

#include <gtest/gtest.h>

#include <muster/rules.hpp>
#include <set>

#include "support/expect_error.hpp"
#include "support/placement.hpp"
#include "support/sample.hpp"

namespace muster::rules_test {
namespace {

using test::elements_of;
using test::pick;
using test::Random;

const ParallelGrid kGrid({.tensor = 2, .data = 1, .expert = 3}, 6);  // rank = tensor + 2 * expert

TEST(Rules, CutTheUsualLayers) {
  const std::vector<ShardingRule> rules{fused_column_parallel("*.qkv.*", 3), row_parallel("*.projection.*"),
                                        column_parallel("*.widen.*"), expert_column_parallel("*.experts.up")};
  const auto place = [&](std::string_view key, const Shape& local, int rank) {
    return placement_of(rules, key, local, kGrid, rank);
  };
  EXPECT_EQ(place("blocks.0.widen.weight", {8, 4}, 1), (Placement{{16, 4}, Shard::block({8, 0}, {8, 4})}));
  EXPECT_EQ(place("blocks.0.widen.bias", {8}, 1), (Placement{{16}, Shard::block({8}, {8})}));
  EXPECT_EQ(place("blocks.0.projection.weight", {4, 2}, 3), (Placement{{4, 4}, Shard::block({0, 2}, {4, 2})}));
  EXPECT_EQ(place("blocks.0.projection.bias", {4}, 3), (Placement{{4}, Shard::whole()}));
  EXPECT_EQ(place("blocks.0.qkv.weight", {6, 4}, 1),
            (Placement{{12, 4}, Shard::blocks({{{2, 0}, {2, 4}}, {{6, 0}, {2, 4}}, {{10, 0}, {2, 4}}})}));
  EXPECT_EQ(place("b.experts.up", {2, 8, 4}, 5), (Placement{{6, 16, 4}, Shard::block({4, 8, 0}, {2, 8, 4})}));
  EXPECT_EQ(place("norm.weight", {4}, 5), (Placement{{4}, Shard::whole()}));
}

TEST(Rules, TheFirstThatMatchesCounts) {
  const std::vector<ShardingRule> rules{replicated("a.*"), column_parallel("*")};
  EXPECT_EQ(placement_of(rules, "a.b", {2}, kGrid, 1).shard, Shard::whole());
  EXPECT_EQ(placement_of(rules, "b.a", {2}, kGrid, 1).global_shape, (Shape{4}));
}

TEST(Rules, UnevenSizesAreGiven) {
  const std::vector<ShardingRule> rules{vocabulary_parallel("e", 5)};
  EXPECT_EQ(placement_of(rules, "e", {3, 2}, kGrid, 0), (Placement{{5, 2}, Shard::block({0, 0}, {3, 2})}));
  EXPECT_EQ(placement_of(rules, "e", {2, 2}, kGrid, 1), (Placement{{5, 2}, Shard::block({3, 0}, {2, 2})}));
  test::expect_words(ErrorKind::usage,
                     "e (rule e): shape [3, 2] on this rank, but its part of 5 along dimension 0 is 2", [&] {
                       static_cast<void>(placement_of(rules, "e", {3, 2}, kGrid, 1));
                     });
}

TEST(Rules, FusedSizesMustFit) {
  test::expect_words(ErrorKind::usage, "10 along dimension 0 are not 3 fused tensors", [&] {
    static_cast<void>(placement_of({fused_column_parallel("q", 3)}, "q", {5, 2}, kGrid, 0));
  });
  // Also where nothing is cut.
  test::expect_words(ErrorKind::usage, "10 along dimension 0 are not 3 fused tensors", [&] {
    static_cast<void>(shard_of({fused_column_parallel("q", 3)}, "q", {10, 2}, ParallelGrid({}, 1), 0));
  });
  const ShardingRule grouped = fused_column_parallel("q", {8, 2, 2});
  EXPECT_EQ(placement_of({grouped}, "q", {6, 2}, kGrid, 1),
            (Placement{{12, 2}, Shard::blocks({{{4, 0}, {4, 2}}, {{9, 0}, {1, 2}}, {{11, 0}, {1, 2}}})}));
}

TEST(Rules, ReadFromText) {
  EXPECT_EQ(parse_rule("*.qkv.*=fused:3"), fused_column_parallel("*.qkv.*", 3));
  EXPECT_EQ(parse_rule("q=fused:8,2,2"), fused_column_parallel("q", {8, 2, 2}));
  EXPECT_EQ(parse_rule("a=b=row"), row_parallel("a=b"));
  EXPECT_EQ(parse_rule("e=vocabulary:5"), vocabulary_parallel("e", 5));
  for (const auto* wrong : {"", "=row", "a", "a=", "a=rows", "a=fused", "a=fused:", "a=fused:x", "a=fused:3,",
                            "a=fused:0", "a=row:2", "a=vocabulary:1,2"}) {
    test::expect_words(ErrorKind::usage, "is no rule", [&] { static_cast<void>(parse_rule(wrong)); });
  }
}

// Whatever the sizes and the grid: the parts of the ranks of one replica are disjoint and cover the tensor, and going
// from the local shape to the global one is the way back.
TEST(Rules, PartsCoverTheTensorOnce) {
  Random random(7);
  for (int i = 0; i < 500; ++i) {
    const auto tensor = static_cast<int>(pick(random, 1, 4));
    const auto expert = static_cast<int>(pick(random, 1, 3));
    const ParallelGrid grid({.tensor = tensor, .expert = expert}, tensor * expert);
    const Shape shape{pick(random, 0, 9), pick(random, 0, 9), pick(random, 1, 3)};
    const ShardingRule rule{.keys = "*",
                            .cuts = {{.dim = 0, .axis = Axis::expert, .global_size = shape[0]},
                                     {.dim = pick(random, 1, 3), .global_size = 0}}};
    std::multiset<std::uint64_t> seen;
    std::set<Shape> seen_parts;
    for (int rank = 0; rank < grid.world_size(); ++rank) {
      const auto shard = shard_of({rule}, "k", shape, grid, rank);
      if (shard.kind() == Shard::Kind::block && !seen_parts.insert(shard.boxes().front().offset).second) continue;
      if (shard.kind() == Shard::Kind::whole && rank > 0) continue;
      for (const auto element : elements_of(shard, shape)) seen.insert(element);
    }
    ASSERT_EQ(seen.size(), element_count(shape)) << to_string(shape);
    ASSERT_EQ(std::set<std::uint64_t>(seen.begin(), seen.end()).size(), seen.size());
  }
}

}  // namespace
}  // namespace muster::rules_test
