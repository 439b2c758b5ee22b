// Where everything lies in the file.

#include "plan/layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "plan/balance.hpp"
#include "support/sample.hpp"

namespace muster::layout_test {
namespace {

using test::pick;
using test::Random;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

std::uint64_t payload_start(const Layout& layout) { return layout.head_bytes + layout.tables_bytes; }

void expect_sound(const Layout& layout) {
  std::uint64_t end = layout.head_bytes;
  ASSERT_EQ(layout.head_bytes % layout.alignment_bytes, 0U);
  std::uint64_t payload = 0;
  const auto expect_placed = [&](const ByteRange& dataset, const std::string& path) {
    if (dataset.bytes == 0) return;
    ASSERT_GE(dataset.offset, end) << path;
    const bool large = dataset.bytes >= aligned_threshold_bytes(layout.alignment_bytes);
    if (large) {
      ASSERT_EQ(dataset.offset % layout.alignment_bytes, 0U) << path;
      ASSERT_LT(dataset.offset - end, layout.alignment_bytes) << path;
    } else {
      ASSERT_EQ(dataset.offset, end) << path;
    }
    end = dataset.end();
  };
  for (const auto& table : layout.tables) ASSERT_NO_FATAL_FAILURE(expect_placed(table, table.path));
  ASSERT_EQ(end, payload_start(layout));
  for (const auto& tensor : layout.tensors) {
    ASSERT_NO_FATAL_FAILURE(expect_placed(tensor, tensor.path));
    payload += tensor.bytes;
  }
  ASSERT_EQ(layout.file_bytes, end);
  ASSERT_EQ(layout.payload_bytes, payload);

  std::vector<std::uint64_t> covered(layout.tensors.size(), 0);
  std::uint64_t last_end = 0;
  for (const auto& extent : layout.extents) {
    const auto& tensor = layout.tensors[extent.tensor];
    const auto item = item_bytes(tensor.dtype);
    ASSERT_GE(extent.offset, last_end);
    last_end = extent.end();
    ASSERT_GT(extent.bytes, 0U);
    ASSERT_LE(extent.bytes, kMaxExtentBytes);
    ASSERT_EQ(extent.bytes % item, 0U);
    ASSERT_EQ(extent.offset, tensor.offset + covered[extent.tensor]);
    covered[extent.tensor] += extent.bytes;
    ASSERT_GE(extent.writer, 0);
    ASSERT_LT(extent.writer, layout.world_size);
  }
  for (std::size_t i = 0; i < layout.tensors.size(); ++i) ASSERT_EQ(covered[i], layout.tensors[i].bytes);
  const auto* integrity = layout.find_table(kIntegrityPath);
  ASSERT_NE(integrity, nullptr);
  ASSERT_EQ(integrity->bytes, (kIntegrityLeadRows + layout.extents.size()) * kIntegrityRowBytes);
}

TEST(Layout, HoldsItsPromisesWhateverThePlan) {
  Random random(5);
  for (int i = 0; i < 300; ++i) {
    std::vector<GlobalTensor> tensors;
    const auto count = pick(random, 0, 40);
    for (std::uint64_t t = 0; t < count; ++t) {
      Shape shape(pick(random, 0, 3));
      for (auto& dim : shape) dim = pick(random, 0, std::uint64_t{1} << pick(random, 0, 9));
      tensors.push_back({"/t/" + std::to_string(t), test::random_dtype(random), std::move(shape)});
    }
    std::vector<DocumentSlot> documents;
    const auto texts = pick(random, 0, 4);
    for (std::uint64_t t = 0; t < texts; ++t) {
      documents.push_back({"/doc" + std::to_string(t), plan::document_capacity_bytes(pick(random, 0, 100000))});
    }
    const auto state = test::replicated(static_cast<int>(pick(random, 1, 200)), tensors, documents);
    const auto layout = test::layout_of(state, std::uint64_t{512} << pick(random, 0, 11));
    expect_sound(layout);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(Layout, CutsLargeTensorsIntoExtentsOfAtMost16MiB) {
  const auto layout =
      test::layout_of(test::replicated(3, {{"/t", DType::complex128, {7, (std::uint64_t{1} << 28) + 1}}}), 4096);
  expect_sound(layout);
  EXPECT_GT(layout.extents.size(), 7 * (std::uint64_t{1} << 32) / kMaxExtentBytes);
}

TEST(Layout, HasTablesAndNoPayloadForAnEmptyState) {
  const auto layout = test::layout_of(test::replicated(2, {}), 4096);
  expect_sound(layout);
  EXPECT_EQ(layout.file_bytes, payload_start(layout));
  EXPECT_EQ(layout.payload_bytes, 0U);
}

TEST(Layout, IsAFunctionOfThePlan) {
  const auto state = test::replicated(5, {{"/a", DType::float32, {1000, 777}}, {"/b", DType::int8, {3}}});
  const auto a = test::layout_of(state, 4096);
  const auto b = test::layout_of(state, 4096);
  ASSERT_EQ(a.extents.size(), b.extents.size());
  for (std::size_t i = 0; i < a.extents.size(); ++i) {
    EXPECT_EQ(a.extents[i].offset, b.extents[i].offset);
    EXPECT_EQ(a.extents[i].writer, b.extents[i].writer);
  }
  EXPECT_EQ(a.file_bytes, b.file_bytes);
}

TEST(Layout, GivesAWriterFewRunsInTheFile) {
  std::vector<GlobalTensor> tensors;
  for (std::uint64_t i = 0; i < 500; ++i) {
    tensors.push_back({"/t/" + std::to_string(i), DType::float32, {1000 + i * 7}});
  }
  const auto layout = test::layout_of(test::replicated(4, tensors), 4096);
  int changes = 0;
  for (std::size_t i = 1; i < layout.extents.size(); ++i) {
    changes += layout.extents[i].writer != layout.extents[i - 1].writer;
  }
  EXPECT_EQ(changes, 3);
}

TEST(DocumentCapacity, HoldsTheTextAndItsEnd) {
  EXPECT_EQ(plan::document_capacity_bytes(0), 1024U);
  EXPECT_EQ(plan::document_capacity_bytes(1023), 1024U);
  EXPECT_EQ(plan::document_capacity_bytes(1024), 2048U);
  EXPECT_EQ(plan::document_capacity_bytes(kMiB), 2 * kMiB);
}

}  // namespace
}  // namespace muster::layout_test
