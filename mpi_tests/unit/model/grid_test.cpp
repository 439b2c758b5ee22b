// Ranks and their parallel coordinates.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <muster/grid.hpp>
#include <set>

#include "support/expect_error.hpp"

namespace muster::grid_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParallelGrid, IsMegatronsByDefault) {
  // tensor fastest, pipeline slowest.
  const ParallelGrid grid({.tensor = 2, .pipeline = 2}, 8);
  EXPECT_EQ(grid.degree(Axis::data), 2);
  EXPECT_THAT(grid.group(5, {Axis::tensor}), ElementsAre(4, 5));
  EXPECT_THAT(grid.group(5, {Axis::data}), ElementsAre(5, 7));
  EXPECT_THAT(grid.group(5, {Axis::pipeline}), ElementsAre(1, 5));
  EXPECT_THAT(grid.group(0, {Axis::tensor, Axis::data}), ElementsAre(0, 1, 2, 3));
}

TEST(ParallelGrid, FollowsTheOrder) {
  const ParallelGrid grid({.tensor = 2, .pipeline = 2, .data = 2, .order = "tp-pp-dp"}, 8);
  EXPECT_THAT(grid.group(5, {Axis::tensor}), ElementsAre(4, 5));
  EXPECT_THAT(grid.group(5, {Axis::pipeline}), ElementsAre(5, 7));
  EXPECT_THAT(grid.group(5, {Axis::data}), ElementsAre(1, 5));
}

TEST(ParallelGrid, GoesThereAndBackOnEveryRankOfManyGrids) {
  for (const char* order : {"tp-cp-ep-dp-pp", "pp-dp-ep-cp-tp", "dp-tp-pp-cp-ep"}) {
    for (int number = 0; number < 162; ++number) {
      const Grid degrees{.tensor = 1 + number % 3,
                         .pipeline = 1 + number / 3 % 3,
                         .data = 1 + number / 9 % 3,
                         .expert = 1 + number / 27 % 3,
                         .context = 1 + number / 81,
                         .order = order};
      const int world = degrees.tensor * degrees.pipeline * degrees.data * degrees.expert * degrees.context;
      const ParallelGrid grid(degrees, world);
      std::set<ParallelGrid::Coordinates> seen;
      for (int rank = 0; rank < world; ++rank) {
        EXPECT_TRUE(seen.insert(grid.coordinates(rank)).second);
        EXPECT_EQ(grid.rank_at(grid.coordinates(rank)), rank);
      }
    }
  }
}

// Groups of a kind share the ranks out: each rank is in the one that its number says, with the others of that number.
TEST(ParallelGrid, GroupsOfAKindAreAPartition) {
  const ParallelGrid grid({.tensor = 2, .pipeline = 3, .data = 2, .expert = 2, .context = 2}, 48);
  for (const std::initializer_list<Axis>& axes :
       {std::initializer_list<Axis>{Axis::tensor}, std::initializer_list<Axis>{Axis::context, Axis::expert, Axis::data},
        std::initializer_list<Axis>{Axis::pipeline, Axis::data}, std::initializer_list<Axis>{}}) {
    std::map<int, std::vector<int>> by_number;
    for (int rank = 0; rank < 48; ++rank) by_number[grid.group_number(rank, axes)].push_back(rank);
    std::size_t size = 1;
    for (const auto axis : axes) size *= static_cast<std::size_t>(grid.degree(axis));
    EXPECT_EQ(by_number.size(), 48 / size);
    for (const auto& [number, ranks] : by_number) {
      EXPECT_EQ(ranks.size(), size);
      for (const int rank : ranks) EXPECT_EQ(grid.group(rank, axes), ranks);
    }
  }
}

TEST(ParallelGrid, SaysWhatDoesNotFit) {
  const auto refused = [](const Grid& grid, int world) {
    return test::error_of(ErrorKind::usage, [&] { const ParallelGrid made(grid, world); });
  };
  EXPECT_EQ(refused({.tensor = 3}, 8),
            "grid tp=3 cp=1 ep=1 dp=0 pp=1 order=tp-cp-ep-dp-pp on 8 ranks: the degrees do not "
            "divide the number of ranks");
  EXPECT_THAT(refused({.tensor = 2, .data = 2}, 8), HasSubstr("the product of the degrees is not the number of ranks"));
  EXPECT_THAT(refused({.tensor = 1 << 20, .pipeline = 1 << 20, .expert = 1 << 20, .context = 1 << 20}, 8),
              HasSubstr("is more than the number of ranks"));
  EXPECT_THAT(refused({.context = 0}, 8), HasSubstr("degrees must be positive"));
  EXPECT_THAT(refused({.order = "tp-xp"}, 8), HasSubstr("the order names no axis 'xp'"));
  EXPECT_THAT(refused({.order = "tp-dp-tp"}, 8), HasSubstr("the order names tp twice"));
  EXPECT_THAT(refused({.tensor = 2, .order = "dp-pp"}, 8), HasSubstr("the order leaves out tp, whose degree is not 1"));
  const ParallelGrid grid({}, 4);
  EXPECT_EQ(test::error_of(ErrorKind::usage, [&] { static_cast<void>(grid.coordinate(4, Axis::data)); }),
            "rank 4 is not one of 4");
  EXPECT_EQ(test::error_of(ErrorKind::usage,
                           [&] {
                             static_cast<void>(grid.rank_at({0, 0, 0, 4, 0}));
                           }),
            "dp 4 is not one of 4");
}

}  // namespace
}  // namespace muster::grid_test
