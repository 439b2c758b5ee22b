// Which chunks suit how a tensor is cut.

#include "plan/chunk_shape.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "model/storage_order.hpp"
#include "support/sample.hpp"

namespace muster::plan::chunk_shape_test {
namespace {

Shape chunk_shape_of(const Shape& shape, const std::vector<Box>& boxes, DType dtype = DType::float32) {
  ChunkShape chunk_shape(shape);
  for (const auto& box : boxes) chunk_shape.add(box);
  return chunk_shape.shape(dtype);
}

TEST(ChunkShape, GivesABlockOfAnEvenGridATileOfItsOwn) {
  EXPECT_EQ(chunk_shape_of({4, 6}, {{{0, 0}, {2, 3}}, {{0, 3}, {2, 3}}, {{2, 0}, {2, 3}}, {{2, 3}, {2, 3}}}),
            (Shape{2, 3}));
  EXPECT_EQ(chunk_shape_of({4, 6}, {{{0, 0}, {4, 2}}, {{0, 2}, {4, 4}}}), (Shape{4, 2}));
}

TEST(ChunkShape, CutsAsTorchChunkDoes) {
  // 10 columns in chunks of 4, 4 and 2.
  EXPECT_EQ(chunk_shape_of({3, 10}, {{{0, 0}, {3, 4}}, {{0, 4}, {3, 4}}, {{0, 8}, {3, 2}}}), (Shape{3, 4}));
}

TEST(ChunkShape, TakesWhatDividesUnevenCuts) {
  EXPECT_EQ(chunk_shape_of({3, 10}, {{{0, 0}, {3, 4}}, {{0, 4}, {3, 3}}, {{0, 7}, {3, 3}}}), (Shape{3, 1}));
  EXPECT_EQ(chunk_shape_of({3, 10}, {{{0, 0}, {3, 4}}, {{0, 4}, {3, 6}}}), (Shape{3, 4}));
}

TEST(ChunkShape, DoesNotPayForACutWithPadding) {
  // At 4096 of 5120 the second chunk would be empty by three quarters.
  EXPECT_EQ(chunk_shape_of({8, 5120}, {{{0, 0}, {8, 4096}}, {{0, 4096}, {8, 1024}}}), (Shape{8, 1024}));
  EXPECT_EQ(chunk_shape_of({1000, 10}, {{{0, 0}, {900, 5}}}), (Shape{100, 5}));
}

TEST(ChunkShape, LeavesAWholeTensorInOne) { EXPECT_EQ(chunk_shape_of({3, 10}, {{{0, 0}, {3, 10}}}), (Shape{3, 10})); }

TEST(ChunkShape, KeepsTilesBelowWhatHdf5Allows) {
  // Half of 64 Gi elements of 2 bytes: 32 GiB, cut along the first dim by the smallest divisor that is enough.
  const Shape shape{1 << 18, 1 << 18};
  const auto chunk = chunk_shape_of(shape, {{{0, 0}, {1 << 18, 1 << 17}}}, DType::bfloat16);
  EXPECT_EQ(chunk, (Shape{(1 << 18) / 32, 1 << 17}));
  // A first dim of one element leaves the next.
  EXPECT_EQ(
      chunk_shape_of({1, std::uint64_t{1} << 33, 2}, {{{0, 0, 0}, {1, std::uint64_t{1} << 33, 1}}}, DType::float32),
      (Shape{1, (std::uint64_t{1} << 33) / 16, 1}));
}

TEST(ChunkShape, MakesEveryBoxWholeChunks) {
  test::Random random(1);
  for (int round = 0; round < 2000; ++round) {
    Shape shape;
    for (auto dims = test::pick(random, 1, 4); dims > 0; --dims) shape.push_back(test::pick(random, 1, 40));
    std::vector<Box> boxes;
    for (auto count = test::pick(random, 1, 5); count > 0; --count) {
      Box box;
      for (const auto size : shape) {
        box.offset.push_back(test::pick(random, 0, size - 1));
        box.shape.push_back(test::pick(random, 1, size - box.offset.back()));
      }
      boxes.push_back(box);
    }
    const StorageOrder order(shape, chunk_shape_of(shape, boxes));
    // At most a third of padding in each dim.
    const auto most = static_cast<double>(element_count(shape)) * std::pow(4.0 / 3, static_cast<double>(shape.size()));
    ASSERT_LE(static_cast<double>(order.elements()), most);
    for (const auto& box : boxes) ASSERT_NO_THROW(std::ignore = order.ranges_of(box)) << to_string(shape);
  }
}

}  // namespace
}  // namespace muster::plan::chunk_shape_test
