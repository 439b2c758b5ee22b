// Shapes, shards and grids.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <muster/muster.hpp>

#include "support/expect_error.hpp"
#include "support/sample.hpp"

namespace muster::shape_test {
namespace {

using test::error_of;
using test::pick;

constexpr std::uint64_t kLargest = std::uint64_t{1} << 59;

TEST(Shape, CountsElements) {
  EXPECT_EQ(element_count({}), 1U);
  EXPECT_EQ(element_count({7}), 7U);
  EXPECT_EQ(element_count({2, 3, 4}), 24U);
  EXPECT_EQ(element_count({5, 0, 9}), 0U);
}

TEST(Shape, RefusesMoreElementsThan63BitsOfBytesHold) {
  EXPECT_EQ(element_count({kLargest}), kLargest);
  EXPECT_EQ(element_count({1U << 30, 1U << 29}), kLargest);
  error_of(ErrorKind::usage, [] { element_count({kLargest + 1}); });
  error_of(ErrorKind::usage, [] { element_count({std::uint64_t{1} << 32, std::uint64_t{1} << 32}); });
  error_of(ErrorKind::usage, [] { element_count({3, ~std::uint64_t{0} / 2}); });
}

TEST(Shape, IsEmptyWithAZeroDimWhateverTheOthersAre) {
  EXPECT_EQ(element_count({~std::uint64_t{0}, ~std::uint64_t{0}, 0}), 0U);
}

// The row-major elements of a box, one by one.
std::vector<std::uint64_t> elements_of(const Shape& offset, const Shape& shape, const Shape& global) {
  std::vector<std::uint64_t> elements;
  const auto count = element_count(shape);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t rest = i;
    std::uint64_t element = 0;
    std::uint64_t stride = 1;
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      element += (offset[dim] + rest % shape[dim]) * stride;
      rest /= shape[dim];
      stride *= global[dim];
    }
    elements.push_back(element);
  }
  return elements;
}

TEST(Shard, ABlockIsARangeExactlyWhenItsElementsAre) {
  test::Random random(3);
  int ranges = 0;
  int scattered = 0;
  for (int i = 0; i < 30000; ++i) {
    Shape global(pick(random, 0, 4));
    Shape offset;
    Shape shape;
    for (auto& dim : global) {
      dim = pick(random, i % 10 == 0 ? 0 : 1, 5);
      offset.push_back(pick(random, 0, dim));
      shape.push_back(
          pick(random, std::min<std::uint64_t>(i % 10 == 0 ? 0 : 1, dim - offset.back()), dim - offset.back()));
    }
    const auto elements = elements_of(offset, shape, global);
    const auto range = contiguous_range(Shard::block(offset, shape), global);
    if (elements.empty()) {
      ASSERT_TRUE(range);
      EXPECT_EQ(range->count, 0U);
    } else if (elements.back() - elements.front() + 1 == elements.size()) {
      ++ranges;
      EXPECT_EQ(range, (ElementRange{elements.front(), elements.size()}))
          << to_string(Shard::block(offset, shape)) << " of " << to_string(global);
    } else {
      ++scattered;
      EXPECT_EQ(range, std::nullopt) << to_string(Shard::block(offset, shape)) << " of " << to_string(global);
    }
  }
  EXPECT_GT(ranges, 1000);
  EXPECT_GT(scattered, 1000);
}

TEST(Shard, ABlockAlongDimZeroBehindLeadingOnesIsARange) {
  EXPECT_EQ(contiguous_range(Shard::block({0, 2, 0}, {1, 3, 5}), {1, 8, 5}), (ElementRange{10, 15}));
}

TEST(Shard, WholeAndFlatAreRanges) {
  EXPECT_EQ(contiguous_range(Shard::whole(), {3, 4}), (ElementRange{0, 12}));
  EXPECT_EQ(contiguous_range(Shard::whole(), {}), (ElementRange{0, 1}));
  EXPECT_EQ(contiguous_range(Shard::flat(5, 7), {3, 4}), (ElementRange{5, 7}));
  EXPECT_EQ(contiguous_range(Shard::flat(12, 0), {3, 4}), (ElementRange{12, 0}));
}

TEST(Shard, OutsideTheShapeIsAUsageError) {
  const std::vector<Shard> outside = {Shard::flat(5, 8),
                                      Shard::flat(13, 0),
                                      Shard::flat(1, ~std::uint64_t{0}),
                                      Shard::block({0}, {3}),
                                      Shard::block({0, 0, 0}, {3, 4, 1}),
                                      Shard::block({1, 0}, {3, 4}),
                                      Shard::block({4, 0}, {0, 4}),
                                      Shard::block({0, ~std::uint64_t{0}}, {1, 2})};
  for (const auto& shard : outside) {
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { contiguous_range(shard, {3, 4}); }), testing::HasSubstr("[3, 4]"));
  }
}

TEST(Grid, FillsInTheDataDegree) {
  EXPECT_EQ(resolve({}, 6).data, 6);
  EXPECT_EQ(resolve({.tensor = 2, .pipeline = 3}, 12).data, 2);
  EXPECT_EQ(resolve({.tensor = 2, .pipeline = 1, .data = 3, .expert = 2}, 12).data, 3);
}

TEST(Grid, RefusesDegreesThatDoNotFitTheWorld) {
  for (const Grid& grid : {Grid{.tensor = 5}, Grid{.tensor = 2, .data = 2}, Grid{.tensor = 0}, Grid{.pipeline = -1},
                           Grid{.data = -4}, Grid{.expert = 0}, Grid{.tensor = 2000000000, .pipeline = 2000000000}}) {
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { resolve(grid, 8); }), testing::HasSubstr("8 ranks"));
  }
}

}  // namespace
}  // namespace muster::shape_test
