// What a benchmark says of its samples.

#include <gtest/gtest.h>

#include <muster/error.hpp>

#include "bench/statistics.hpp"

namespace muster::bench::bench_statistics_test {
namespace {

TEST(BenchStatistics, Median) {
  EXPECT_DOUBLE_EQ(median({3}), 3);
  EXPECT_DOUBLE_EQ(median({9, 1, 5}), 5);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 100}), 3);
  EXPECT_THROW(median({}), Error);
}

TEST(BenchStatistics, SpreadIsMedianLeastAndMost) {
  const auto spread = spread_of({2, 8, 4, 6, 100});
  EXPECT_DOUBLE_EQ(spread.median, 6);
  EXPECT_DOUBLE_EQ(spread.min, 2);
  EXPECT_DOUBLE_EQ(spread.max, 100);
}

TEST(BenchStatistics, RelativeSpeedIsOneAtTheLimit) {
  EXPECT_DOUBLE_EQ(relative_speed(1, 1, 1), 1);
  EXPECT_DOUBLE_EQ(relative_speed(1, 1, 2), 0.5);
  EXPECT_DOUBLE_EQ(relative_speed(1, 3, 2), 1);
}

}  // namespace
}  // namespace muster::bench::bench_statistics_test
