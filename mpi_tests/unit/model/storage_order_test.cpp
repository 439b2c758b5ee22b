// Where the elements of a box lie in the file, against an oracle that places them one by one.

#include "model/storage_order.hpp"

#include <gtest/gtest.h>

#include <map>
#include <tuple>
#include <vector>

#include "support/expect_error.hpp"
#include "support/placement.hpp"
#include "support/sample.hpp"

namespace muster::storage_order_test {
namespace {

using test::place_of;
using test::Random;

// Every element of the box by its place in the file: its place in the box.
std::map<std::uint64_t, std::uint64_t> places_of(const Box& box, const Shape& shape, const Shape& chunk) {
  std::map<std::uint64_t, std::uint64_t> placements;
  std::uint64_t count = 1;
  for (const auto size : box.shape) count *= size;
  for (std::uint64_t i = 0; i < count; ++i) {
    Shape index(shape.size());
    auto rest = i;
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      index[dim] = box.offset[dim] + rest % box.shape[dim];
      rest /= box.shape[dim];
    }
    placements[place_of(index, shape, chunk)] = i;
  }
  return placements;
}

struct Case {
  Shape shape;
  Shape chunk_shape;
  Box box;
};

Case random_case(Random& random) {
  Case made;
  const auto dims = random() % 4;
  for (std::uint64_t dim = 0; dim < dims; ++dim) {
    const auto size = 1 + random() % 9;
    made.shape.push_back(size);
    made.chunk_shape.push_back(random() % 3 == 0 ? size : 1 + random() % size);
    const auto offset = random() % size;
    made.box.offset.push_back(offset);
    made.box.shape.push_back(random() % 3 == 0 ? size - offset : random() % (size - offset + 1));
  }
  return made;
}

TEST(StorageOrder, VisitsEveryElementOfABoxOnceInRunsThatCannotBeJoined) {
  Random random(1);
  for (int round = 0; round < 5000; ++round) {
    const auto [shape, chunk, box] = random_case(random);
    SCOPED_TRACE(to_string(shape) + " in chunks " + to_string(chunk) + ", box " + to_string(box.offset) + " " +
                 to_string(box.shape));
    const StorageOrder order(shape, chunk);
    const auto placements = places_of(box, shape, chunk);
    const auto first = random() % (order.elements() + 1);
    const ElementRange clip = round % 2 == 0 ? ElementRange{0, order.elements()}
                                             : ElementRange{first, random() % (order.elements() - first + 1)};
    std::map<std::uint64_t, std::uint64_t> found;
    std::vector<StorageRun> runs;
    order.visit_runs(box, clip, [&](const StorageRun& run) {
      ASSERT_GT(run.count, 0U);
      for (std::uint64_t i = 0; i < run.count; ++i) {
        ASSERT_TRUE(found.emplace(run.in_file + i, run.in_box + i).second);
      }
      if (!runs.empty()) {
        ASSERT_FALSE(runs.back().in_file + runs.back().count == run.in_file &&
                     runs.back().in_box + runs.back().count == run.in_box);
      }
      runs.push_back(run);
    });
    std::map<std::uint64_t, std::uint64_t> expected;
    for (const auto& [in_file, in_box] : placements) {
      if (in_file >= clip.first && in_file < clip.first + clip.count) expected.emplace(in_file, in_box);
    }
    ASSERT_EQ(found, expected);
  }
}

TEST(StorageOrder, FindsTheFirstRunOfABoxInARange) {
  Random random(2);
  int touching = 0;
  for (int round = 0; round < 5000; ++round) {
    const auto [shape, chunk, box] = random_case(random);
    SCOPED_TRACE(to_string(shape) + " in chunks " + to_string(chunk) + ", box " + to_string(box.offset) + " " +
                 to_string(box.shape));
    const StorageOrder order(shape, chunk);
    const auto first = random() % (order.elements() + 1);
    const ElementRange range{first, random() % (order.elements() - first + 1)};
    const auto placements = places_of(box, shape, chunk);
    const bool expected = placements.lower_bound(range.first) != placements.lower_bound(range.first + range.count);
    std::vector<StorageRun> runs;
    order.visit_runs(box, range, [&](const StorageRun& run) { runs.push_back(run); });
    ASSERT_EQ(runs.empty(), !expected);
    ASSERT_EQ(order.first_run(box, range), runs.empty() ? std::nullopt : std::optional(runs.front()));
    touching += expected ? 1 : 0;
  }
  EXPECT_GT(touching, 500);
  EXPECT_LT(touching, 4500);
}

TEST(StorageOrder, GivesTheRangesOfBoxesOfWholeChunks) {
  Random random(3);
  int several = 0;
  for (int round = 0; round < 5000; ++round) {
    auto [shape, chunk, box] = random_case(random);
    for (std::size_t dim = 0; dim < shape.size(); ++dim) {
      const auto end = std::min(shape[dim], (box.offset[dim] + box.shape[dim]) / chunk[dim] * chunk[dim] + chunk[dim]);
      box.offset[dim] -= box.offset[dim] % chunk[dim];
      box.shape[dim] = end - box.offset[dim];
    }
    SCOPED_TRACE(to_string(shape) + " in chunks " + to_string(chunk) + ", box " + to_string(box.offset) + " " +
                 to_string(box.shape));
    const StorageOrder order(shape, chunk);
    const auto ranges = order.ranges_of(box);
    const auto all = places_of({Shape(shape.size(), 0), shape}, shape, chunk);
    const auto in_box = places_of(box, shape, chunk);
    std::size_t found = 0;
    std::uint64_t end = 0;
    for (const auto& range : ranges) {
      ASSERT_TRUE(end == 0 || range.first > end);
      end = range.first + range.count;
      for (auto at = range.first; at < end; ++at) {
        ASSERT_EQ(all.contains(at), in_box.contains(at));
        found += in_box.contains(at) ? 1U : 0U;
      }
    }
    ASSERT_EQ(found, in_box.size());
    several += ranges.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(several, 300);
}

TEST(StorageOrder, RefusesTheRangesOfBoxesThatCutChunks) {
  EXPECT_EQ(test::error_of(ErrorKind::internal,
                           [] {
                             std::ignore = StorageOrder({8, 8}, {8, 4}).ranges_of({{0, 2}, {8, 4}});
                           }),
            "block [0, 8) x [2, 6) does not consist of chunks of [8, 4]");
}

TEST(StorageOrder, OfColumnsInTilesOfTheirOwnIsOneRangeEach) {
  const StorageOrder order({4096, 4096}, {4096, 1024});
  for (std::uint64_t rank = 0; rank < 4; ++rank) {
    const Box column{{0, rank * 1024}, {4096, 1024}};
    EXPECT_EQ(order.ranges_of(column), (std::vector<ElementRange>{{rank * 4096 * 1024, 4096 * 1024}}));
    EXPECT_EQ(order.chunk_at(rank * 4096 * 1024 + 5), column);
  }
  EXPECT_EQ(order.elements(), 4096U * 4096U);
}

TEST(StorageOrder, PadsTilesThatStickOut) {
  const StorageOrder order({10, 10}, {10, 4});  // as torch.chunk cuts 10 columns into three
  EXPECT_EQ(order.elements(), 120U);
  EXPECT_FALSE(order.is_row_major());
  EXPECT_EQ(order.chunk_at(119), (Box{{0, 8}, {10, 2}}));
  int runs = 0;
  order.visit_runs({{0, 8}, {10, 2}}, {0, 120}, [&](const StorageRun& run) {
    EXPECT_EQ(run, (StorageRun{.in_file = 80 + static_cast<std::uint64_t>(runs) * 4,
                               .in_box = static_cast<std::uint64_t>(runs) * 2,
                               .count = 2}));
    ++runs;
  });
  EXPECT_EQ(runs, 10);
}

TEST(StorageOrder, RefusesTilesThatCannotBe) {
  EXPECT_EQ(test::error_of(ErrorKind::usage,
                           [] {
                             StorageOrder({4, 4}, {4});
                           }),
            "a chunk of [4] in a tensor of [4, 4]");
  EXPECT_EQ(test::error_of(ErrorKind::usage,
                           [] {
                             StorageOrder({4, 4}, {4, 0});
                           }),
            "a chunk of [4, 0] in a tensor of [4, 4]");
  EXPECT_EQ(StorageOrder({4, 0}, {4, 0}).elements(), 0U);
  EXPECT_EQ(StorageOrder(Shape{}).elements(), 1U);
}

}  // namespace
}  // namespace muster::storage_order_test
