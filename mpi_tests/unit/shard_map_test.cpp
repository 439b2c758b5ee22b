// Where the bytes of a shard lie in the file, against an oracle that places them element by element.

#include "model/shard_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/placement.hpp"
#include "support/sample.hpp"

namespace muster {
namespace {

using test::elements_of;
using test::index_of;
using test::pick;
using test::place_of;
using test::Random;

Shape random_shape(Random& random) {
  Shape shape;
  for (auto dims = pick(random, 0, 4); dims > 0; --dims) shape.push_back(pick(random, 1, 7));
  return shape;
}

TEST(ShardMap, VisitsEveryByteOfAShardThatLiesInARange) {
  Random random(1);
  for (int round = 0; round < 4000; ++round) {
    const auto shape = random_shape(random);
    Shape tile;
    for (const auto size : shape) tile.push_back(pick(random, 1, size));
    const auto shard = test::random_part(random, shape);
    const auto dtype = test::random_dtype(random);
    const auto item = item_bytes(dtype);
    SCOPED_TRACE(to_string(shape) + " in tiles " + to_string(tile) + ": " + to_string(shard));
    const StorageOrder order(shape, tile);
    const ShardMap map(order, shard, dtype);
    // Anywhere, in the middle of elements too.
    const auto bytes = order.elements() * item;
    const auto first = pick(random, 0, bytes);
    const auto count = pick(random, 0, bytes - first);

    std::vector<std::int64_t> expected(bytes, -1);  // by place in the file: place in the shard
    const auto elements = elements_of(shard, shape);
    for (std::uint64_t i = 0; i < elements.size(); ++i) {
      const auto place = place_of(index_of(elements[i], shape), shape, tile);
      for (std::uint64_t byte = 0; byte < item; ++byte) {
        const auto at = place * item + byte;
        if (at >= first && at < first + count) expected[at] = static_cast<std::int64_t>(i * item + byte);
      }
    }
    std::vector<std::int64_t> found(bytes, -1);
    map.visit_runs(first, count, [&](const ShardRun& run) {
      ASSERT_GT(run.bytes, 0U);
      for (std::uint64_t i = 0; i < run.bytes; ++i) {
        ASSERT_EQ(found.at(run.in_file + i), -1);
        found[run.in_file + i] = static_cast<std::int64_t>(run.in_shard + i);
      }
    });
    ASSERT_EQ(found, expected);
    const bool any = std::ranges::any_of(expected, [](auto place) { return place >= 0; });
    ASSERT_EQ(map.touches(first, count), any);
  }
}

TEST(ShardBoxes, OfARangeFollowEachOtherAndCoverIt) {
  Random random(2);
  for (int round = 0; round < 4000; ++round) {
    const auto shape = random_shape(random);
    const auto shard = test::random_part(random, shape);
    SCOPED_TRACE(to_string(shape) + ": " + to_string(shard));
    const auto boxes = boxes_of(shard, shape);
    EXPECT_LE(boxes.size(), std::max<std::size_t>(1, 2 * shape.size() - std::min<std::size_t>(1, shape.size())));
    const auto expected = elements_of(shard, shape);
    ASSERT_EQ(elements_held(shard, shape), expected.size());
    std::vector<std::uint64_t> found;
    for (const auto& [box, first] : boxes) {
      ASSERT_EQ(first, found.size());
      const auto elements = elements_of(Shard::block(box.offset, box.shape), shape);
      ASSERT_FALSE(elements.empty());
      found.insert(found.end(), elements.begin(), elements.end());
    }
    ASSERT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace muster
