// Where the elements of a box lie in the file, against an oracle that places them one by one.

#include "model/storage_order.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "support/expect_error.hpp"
#include "support/sample.hpp"

namespace muster {
namespace {

using test::Random;

// Where an element lies in the file: which tile, and where in it.
std::uint64_t place_of(const Shape& index, const Shape& shape, const Shape& tile) {
  std::uint64_t number = 0;
  std::uint64_t inside = 0;
  std::uint64_t tile_elements = 1;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    const auto tiles = (shape[dim] + tile[dim] - 1) / tile[dim];
    number = number * tiles + index[dim] / tile[dim];
    inside = inside * tile[dim] + index[dim] % tile[dim];
    tile_elements *= tile[dim];
  }
  return number * tile_elements + inside;
}

// Every element of the box by its place in the file: its place in the box.
std::map<std::uint64_t, std::uint64_t> places_of(const Box& box, const Shape& shape, const Shape& tile) {
  std::map<std::uint64_t, std::uint64_t> places;
  std::uint64_t count = 1;
  for (const auto size : box.shape) count *= size;
  for (std::uint64_t i = 0; i < count; ++i) {
    Shape index(shape.size());
    auto rest = i;
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      index[dim] = box.offset[dim] + rest % box.shape[dim];
      rest /= box.shape[dim];
    }
    places[place_of(index, shape, tile)] = i;
  }
  return places;
}

struct Case {
  Shape shape;
  Shape tile;
  Box box;
};

Case random_case(Random& random) {
  Case made;
  const auto dims = random() % 4;
  for (std::uint64_t dim = 0; dim < dims; ++dim) {
    const auto size = 1 + random() % 9;
    made.shape.push_back(size);
    made.tile.push_back(random() % 3 == 0 ? size : 1 + random() % size);
    const auto offset = random() % size;
    made.box.offset.push_back(offset);
    made.box.shape.push_back(random() % 3 == 0 ? size - offset : random() % (size - offset + 1));
  }
  return made;
}

TEST(StorageOrder, VisitsEveryElementOfABoxOnceInRunsThatCannotBeJoined) {
  Random random(1);
  for (int round = 0; round < 5000; ++round) {
    const auto [shape, tile, box] = random_case(random);
    SCOPED_TRACE(to_string(shape) + " in tiles " + to_string(tile) + ", box " + to_string(box.offset) + " " +
                 to_string(box.shape));
    const StorageOrder order(shape, tile);
    const auto places = places_of(box, shape, tile);
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
    for (const auto& [in_file, in_box] : places) {
      if (in_file >= clip.first && in_file < clip.first + clip.count) expected.emplace(in_file, in_box);
    }
    ASSERT_EQ(found, expected);
  }
}

TEST(StorageOrder, KnowsWhichBoxesAreOneRange) {
  Random random(2);
  int ranges = 0;
  for (int round = 0; round < 5000; ++round) {
    const auto [shape, tile, box] = random_case(random);
    SCOPED_TRACE(to_string(shape) + " in tiles " + to_string(tile) + ", box " + to_string(box.offset) + " " +
                 to_string(box.shape));
    const StorageOrder order(shape, tile);
    const auto places = places_of(box, shape, tile);
    const auto range = order.range_of(box);
    if (places.empty()) {
      ASSERT_EQ(range, ElementRange{});
      continue;
    }
    const auto all = places_of({Shape(shape.size(), 0), shape}, shape, tile);
    const auto first = places.begin()->first;
    const auto last = places.rbegin()->first + 1;
    const auto between = std::distance(all.lower_bound(first), all.lower_bound(last));
    const bool alone = static_cast<std::size_t>(between) == places.size();
    ASSERT_EQ(range.has_value(), alone);
    if (!alone) continue;
    ASSERT_EQ(*range, (ElementRange{first, last - first}));
    ++ranges;
  }
  EXPECT_GT(ranges, 500);
}

TEST(StorageOrder, OfColumnsInTilesOfTheirOwnIsOneRangeEach) {
  const StorageOrder order({4096, 4096}, {4096, 1024});
  for (std::uint64_t rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(order.range_of({{0, rank * 1024}, {4096, 1024}}), (ElementRange{rank * 4096 * 1024, 4096 * 1024}));
  }
  EXPECT_FALSE(order.range_of({{0, 512}, {4096, 1024}}));
  EXPECT_EQ(order.elements(), 4096U * 4096U);
}

TEST(StorageOrder, PadsTilesThatStickOut) {
  const StorageOrder order({10, 10}, {10, 4});  // as torch.chunk cuts 10 columns into three
  EXPECT_EQ(order.elements(), 120U);
  EXPECT_FALSE(order.is_row_major());
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
  EXPECT_EQ(test::error_of(ErrorKind::usage, [] { StorageOrder({4, 4}, {4}); }), "a tile of [4] in a tensor of [4, 4]");
  EXPECT_EQ(test::error_of(ErrorKind::usage,
                           [] {
                             StorageOrder({4, 4}, {4, 0});
                           }),
            "a tile of [4, 0] in a tensor of [4, 4]");
  EXPECT_EQ(StorageOrder({4, 0}, {4, 0}).elements(), 0U);
  EXPECT_EQ(StorageOrder(Shape{}).elements(), 1U);
}

}  // namespace
}  // namespace muster
