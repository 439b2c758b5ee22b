// Where the bytes of a shard lie in the file, against an oracle that places them element by element.

#include "model/shard_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/placement.hpp"
#include "support/sample.hpp"

namespace muster::shard_map_test {
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
    Shape chunk_shape;
    for (const auto size : shape) chunk_shape.push_back(pick(random, 1, size));
    const auto shard = test::random_part(random, shape);
    const auto dtype = test::random_dtype(random);
    const auto item = item_bytes(dtype);
    SCOPED_TRACE(to_string(shape) + " in chunks " + to_string(chunk_shape) + ": " + to_string(shard));
    const StorageOrder order(shape, chunk_shape);
    const ShardMap map(order, shard, dtype);
    // Anywhere, in the middle of elements too.
    const auto bytes = order.elements() * item;
    const auto first = pick(random, 0, bytes);
    const auto count = pick(random, 0, bytes - first);

    std::vector<std::int64_t> expected(bytes, -1);  // by place in the file: place in the shard
    const auto elements = elements_of(shard, shape);
    for (std::uint64_t i = 0; i < elements.size(); ++i) {
      const auto place = place_of(index_of(elements[i], shape), shape, chunk_shape);
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
  }
}

TEST(ShardMap, VisitsTheFirstRunFromWhereItIsToldToGoOn) {
  Random random(3);
  int skipped_runs = 0;
  for (int round = 0; round < 4000; ++round) {
    const auto shape = random_shape(random);
    Shape chunk_shape;
    for (const auto size : shape) chunk_shape.push_back(pick(random, 1, size));
    const auto shard = test::random_part(random, shape);
    const auto dtype = test::random_dtype(random);
    SCOPED_TRACE(to_string(shape) + " in chunks " + to_string(chunk_shape) + ": " + to_string(shard));
    const StorageOrder order(shape, chunk_shape);
    const ShardMap map(order, shard, dtype);
    const auto bytes = order.elements() * item_bytes(dtype);
    std::vector<std::int64_t> places(bytes, -1);  // by place in the file: place in the shard
    map.visit_runs(0, bytes, [&](const ShardRun& run) {
      for (std::uint64_t i = 0; i < run.bytes; ++i) {
        places[run.in_file + i] = static_cast<std::int64_t>(run.in_shard + i);
      }
    });
    // Of shards of several boxes the runs come box by box, so that nothing can be said of what lies between.
    const bool is_one_box = boxes_of(shard, shape).size() == 1;
    const auto expect_nothing_in = [&](std::uint64_t first, std::uint64_t last) {
      if (is_one_box) {
        for (; first < last; ++first) ASSERT_EQ(places[first], -1);
      }
    };
    std::uint64_t from = 0;
    std::uint64_t visited = 0;
    map.visit_some_runs([&](const ShardRun& run) {
      ++visited;
      EXPECT_GT(run.bytes, 0U);
      expect_nothing_in(from, run.in_file);
      for (std::uint64_t i = 0; i < run.bytes; ++i) {
        EXPECT_EQ(places.at(run.in_file + i), static_cast<std::int64_t>(run.in_shard + i));
      }
      from = run.in_file + pick(random, 1, run.bytes + bytes / 2);  // in the middle of a run, or behind others
      if (from > run.in_file + run.bytes) ++skipped_runs;
      return from;
    });
    expect_nothing_in(std::min(from, bytes), bytes);
    const bool has_any = std::ranges::any_of(places, [](auto place) { return place >= 0; });
    ASSERT_EQ(visited > 0, has_any);
  }
  EXPECT_GT(skipped_runs, 500);
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
}  // namespace muster::shard_map_test
