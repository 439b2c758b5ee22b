// The usual cuts: their parts are disjoint and cover the tensor, and lie where frameworks put them.

#include <gtest/gtest.h>

#include <muster/sharding.hpp>
#include <set>

#include "support/expect_error.hpp"
#include "support/placement.hpp"
#include "support/sample.hpp"

namespace muster::sharding_test {
namespace {

using test::elements_of;
using test::pick;
using test::Random;

TEST(Sharding, ChunksAsTorchDoes) {
  EXPECT_EQ(chunk(10, 0, 3), (ElementRange{0, 4}));
  EXPECT_EQ(chunk(10, 1, 3), (ElementRange{4, 4}));
  EXPECT_EQ(chunk(10, 2, 3), (ElementRange{8, 2}));
  EXPECT_EQ(chunk(5, 3, 4), (ElementRange{5, 0}));  // 2, 2, 1 and nothing
  EXPECT_EQ(chunk(0, 0, 2), (ElementRange{0, 0}));
  const auto large = std::uint64_t{1} << 62;
  EXPECT_EQ(chunk(large, 6, 7).first, large / 7 * 6 + 6);
}

TEST(Sharding, CutsADimension) {
  EXPECT_EQ(split({8, 6}, 0, 1, 2), Shard::block({4, 0}, {4, 6}));
  EXPECT_EQ(split({8, 6}, 1, 2, 3), Shard::block({0, 4}, {8, 2}));
  EXPECT_EQ(split_flat({8, 6}, 1, 2), Shard::flat(24, 24));
}

TEST(Sharding, CutsEachOfFusedTensors) {
  // Q of 4 rows, K and V of 2 each, over two ranks.
  EXPECT_EQ(split_fused({8, 3}, {4, 2, 2}, 1, 2),
            Shard::blocks({{{2, 0}, {2, 3}}, {{5, 0}, {1, 3}}, {{7, 0}, {1, 3}}}));
  EXPECT_EQ(elements_of(split_fused({8}, {4, 2, 2}, 0, 2), {8}), (std::vector<std::uint64_t>{0, 1, 4, 6}));
}

TEST(Sharding, OfAllPartsCoversATensorOnce) {
  Random random(1);
  for (int round = 0; round < 2000; ++round) {
    Shape shape;
    for (auto dims = pick(random, 1, 3); dims > 0; --dims) shape.push_back(pick(random, 0, 9));
    const auto parts = static_cast<int>(pick(random, 1, 6));
    const auto dim = pick(random, 0, shape.size() - 1);
    const auto first_rows = pick(random, 0, shape[0]);
    const auto kind = random() % 3;
    std::multiset<std::uint64_t> covered;
    for (int part = 0; part < parts; ++part) {
      const auto shard = kind == 0   ? split(shape, dim, part, parts)
                         : kind == 1 ? split_flat(shape, part, parts)
                                     : split_fused(shape, {first_rows, shape[0] - first_rows}, part, parts);
      const auto elements = elements_of(shard, shape);
      covered.insert(elements.begin(), elements.end());
    }
    ASSERT_EQ(covered.size(), element_count(shape)) << to_string(shape);
    std::uint64_t next = 0;
    for (const auto element : covered) ASSERT_EQ(element, next++);
  }
}

TEST(Sharding, RefusesWhatCannotBe) {
  EXPECT_EQ(test::error_of(ErrorKind::usage, [] { split({4}, 1, 0, 2); }), "shape [4] has no dimension 1");
  EXPECT_EQ(test::error_of(ErrorKind::usage, [] { split({4}, 0, 2, 2); }), "part 2 of 2");
  EXPECT_EQ(test::error_of(ErrorKind::usage,
                           [] {
                             split_fused({8, 3}, {4, 2}, 0, 2);
                           }),
            "tensors of 6 rows together are not fused into shape [8, 3]");
}

TEST(Sharding, RefusesBlocksThatOverlap) {
  EXPECT_EQ(test::error_of(ErrorKind::usage,
                           [] {
                             contiguous_range(Shard::blocks({{{0, 0}, {2, 2}}, {{1, 1}, {2, 2}}}), {4, 4});
                           }),
            "blocks [0, 2) x [0, 2) and [1, 3) x [1, 3) overlap each other");
}

TEST(Sharding, ChunksRows) {
  EXPECT_EQ(chunk_of_rows({5, 3}, 0, 2), (ElementRange{0, 9}));
  EXPECT_EQ(chunk_of_rows({5, 3}, 1, 2), (ElementRange{9, 6}));
  EXPECT_EQ(chunk_of_rows({}, 0, 2), (ElementRange{0, 1}));
  EXPECT_EQ(chunk_of_rows({}, 1, 2).count, 0U);
  EXPECT_EQ(chunk_of_rows({0, 3}, 1, 2).count, 0U);
}

TEST(Sharding, PartsOfRangesAreRanges) {
  EXPECT_EQ(part_of({4, 3}, Shard::whole(), {2, 5}), Shard::flat(2, 5));
  EXPECT_EQ(part_of({4, 3}, Shard::flat(3, 6), {2, 3}), Shard::flat(5, 3));
  EXPECT_EQ(part_of({4, 3}, Shard::block({2, 0}, {2, 3}), {1, 3}), Shard::flat(7, 3));
  EXPECT_EQ(part_of({4, 3}, Shard::block({0, 1}, {4, 2}), {2, 4}), Shard::block({1, 1}, {2, 2}));
  test::expect_words(ErrorKind::usage, "elements [2, 9) are asked for of", [] {
    static_cast<void>(part_of({4, 3}, Shard::block({0, 1}, {4, 2}), {2, 7}));
  });
}

// The elements of a part are those of the shard, from the first to the last of the range, in their order.
TEST(Sharding, PartsHaveTheElementsOfTheRange) {
  Random random(11);
  for (int i = 0; i < 1000; ++i) {
    Shape shape;
    for (auto dims = static_cast<int>(pick(random, 1, 4)); dims > 0; --dims) shape.push_back(pick(random, 1, 6));
    const auto parts = static_cast<int>(pick(random, 1, 3));
    const auto rank = static_cast<int>(pick(random, 0, static_cast<std::uint64_t>(parts) - 1));
    const auto dim = pick(random, 0, shape.size() - 1);
    const auto fused = pick(random, 0, shape[0]);
    const auto shard =
        i % 2 == 0 ? split(shape, dim, rank, parts) : split_fused(shape, {fused, shape[0] - fused}, rank, parts);
    const auto held = elements_of(shard, shape);
    const auto first = pick(random, 0, held.size());
    const auto count = pick(random, 0, held.size() - first);
    const auto part = part_of(shape, shard, {first, count});
    const auto at = held.begin() + static_cast<std::ptrdiff_t>(first);
    ASSERT_EQ(elements_of(part, shape), (std::vector<std::uint64_t>(at, at + static_cast<std::ptrdiff_t>(count))))
        << to_string(shape) << ' ' << to_string(shard) << ' ' << first << ' ' << count << ' ' << to_string(part);
  }
}

}  // namespace
}  // namespace muster::sharding_test
