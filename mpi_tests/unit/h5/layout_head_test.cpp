// HDF5 puts everything where the layout foretold, and all its metadata fits in the head.
// build_head() itself compares every offset and the file's size with the layout and throws where they differ.

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include <algorithm>

#include "base/hash.hpp"
#include "h5/head.hpp"
#include "model/dtypes.hpp"
#include "plan/layout.hpp"
#include "support/files.hpp"
#include "support/sample.hpp"

namespace muster::layout_head_test {
namespace {

using test::pick;
using test::Random;

class LayoutHead : public testing::Test {
 protected:
  // Builds the head; its room must suffice, and the rest of the room must still be zero.
  h5::Head build(const Layout& layout) {
    h5::Head head;
    EXPECT_NO_THROW(head = h5::build_head(layout, file_)) << describe(layout);
    EXPECT_EQ(head.bytes.size(), layout.head_bytes);
    return head;
  }

  static std::string describe(const Layout& layout) {
    std::size_t longest = 0;
    for (const auto& table : layout.tables) longest = std::max(longest, table.path.size());
    for (const auto& tensor : layout.tensors) longest = std::max(longest, tensor.path.size());
    return std::to_string(layout.tensors.size()) + " tensors, alignment " + std::to_string(layout.alignment_bytes) +
           ", longest path " + std::to_string(longest) + ", world " + std::to_string(layout.world_size);
  }

  test::TempDir directory_;
  std::filesystem::path file_ = directory_.path() / "head.h5";
};

std::string random_name(Random& random, std::uint64_t longest) {
  std::string name(pick(random, 1, longest), ' ');
  for (auto& c : name) c = static_cast<char>(random() % 255 + 1);
  return object_path({name}).substr(1);
}

Shape random_shape(Random& random) {
  Shape shape(pick(random, 0, 4));
  for (auto& dim : shape) dim = pick(random, random() % 10 == 0 ? 0 : 1, std::uint64_t{1} << pick(random, 0, 7));
  return shape;
}

// Of some dims a part, of the others all.
Shape random_chunk_shape(Random& random, const Shape& shape) {
  if (element_count(shape) == 0) return {};
  Shape chunk_shape;
  for (const auto size : shape) chunk_shape.push_back(random() % 2 == 0 ? size : pick(random, 1, size));
  return chunk_shape;
}

Layout random_layout(Random& random, std::uint64_t tensors, std::uint64_t longest_name) {
  std::vector<GlobalTensor> planned;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    const auto key = std::to_string(i) + random_name(random, longest_name);
    const auto kind = random() % 4;
    const std::string path = kind == 0   ? "/optimizer/" + key + "/exp_avg"
                             : kind == 1 ? "/optimizer/" + key + "/step"
                             : kind == 2 ? "/" + key
                                         : "/model/" + key;
    auto shape = random_shape(random);
    auto chunk = random() % 2 == 0 ? random_chunk_shape(random, shape) : Shape{};
    planned.push_back({path, test::random_dtype(random), std::move(shape), std::move(chunk)});
  }
  std::vector<DocumentSlot> documents;
  const auto texts = pick(random, 0, random() % 4 == 0 ? 300 : 4);
  for (std::uint64_t i = 0; i < texts; ++i) {
    documents.push_back({(random() % 2 == 0 ? "/" : "/documents/") + std::to_string(i) + random_name(random, 40),
                         std::uint64_t{1024} << pick(random, 0, 8)});
  }
  const auto world_size = static_cast<int>(pick(random, 1, random() % 8 == 0 ? 20000 : 16));
  return test::layout_of(test::replicated(world_size, planned, documents), std::uint64_t{512} << pick(random, 0, 11));
}

TEST_F(LayoutHead, AgreesWithHdf5OnRandomLayouts) {
  Random random(1);
  for (int i = 0; i < 120; ++i) {
    build(random_layout(random, pick(random, 0, 60), i % 3 == 0 ? 2000 : 60));
    if (HasFailure()) return;
  }
}

TEST_F(LayoutHead, AgreesWithHdf5AtEveryNumberOfSmallGroups) {
  // From eight links on a group changes from a list of links to a heap with an index.
  for (std::uint64_t tensors = 0; tensors < 40; ++tensors) {
    std::vector<GlobalTensor> planned;
    for (std::uint64_t i = 0; i < tensors; ++i) {
      planned.push_back({"/model/w" + std::to_string(i), DType::float32, {i}});
    }
    build(test::layout_of(test::replicated(2, planned), 512));
    if (HasFailure()) return;
  }
}

TEST_F(LayoutHead, AgreesWithHdf5OnThousandsOfTensors) {
  Random random(2);
  for (const std::uint64_t tensors : {500U, 5000U}) build(random_layout(random, tensors, 80));
}

TEST_F(LayoutHead, AgreesWithHdf5OnOneGroupOfThousandsOfTensors) {
  for (const std::uint64_t tensors : {64U, 65U, 512U, 5000U}) {
    for (const std::size_t length : {1U, 30U, 300U}) {
      std::vector<GlobalTensor> planned;
      for (std::uint64_t i = 0; i < tensors; ++i) {
        planned.push_back({"/model/" + std::to_string(i) + std::string(length, 'n'), DType::float32, {4, 4}});
      }
      build(test::layout_of(test::replicated(2, planned), 512));
      if (HasFailure()) return;
    }
  }
}

TEST_F(LayoutHead, AgreesWithHdf5OnTheLongestKeys) {
  for (const std::size_t tensors : {1U, 3U, 8U, 9U, 12U, 30U}) {
    for (const std::size_t length : {300U, 2000U, 4000U}) {
      std::vector<GlobalTensor> planned;
      for (std::size_t i = 0; i < tensors; ++i) {
        const std::string key = std::to_string(10 + i) + std::string(length - 2, 'k');
        planned.push_back({object_path({"model", key}), DType::int8, {3}});
        planned.push_back({object_path({"optimizer", key, "exp_avg"}), DType::int8, {3}});
      }
      build(test::layout_of(test::replicated(2, planned), 512));
      if (HasFailure()) return;
    }
  }
}

TEST_F(LayoutHead, AgreesWithHdf5OnOddShapes) {
  std::vector<GlobalTensor> planned = {{"/scalar", DType::complex128, {}},
                                       {"/empty", DType::float64, {0}},
                                       {"/empty_and_huge", DType::float64, {std::uint64_t{1} << 40, 0}},
                                       {"/many_dims", DType::bfloat16, Shape(32, 1)},
                                       {"/large", DType::float16, {3, std::uint64_t{1} << 30}}};
  for (std::uint64_t alignment = 512; alignment <= std::uint64_t{64} << 20; alignment *= 2) {
    build(test::layout_of(test::replicated(3, planned), alignment));
  }
}

TEST_F(LayoutHead, HasTheSameBytesWheneverItIsBuilt) {
  Random random(3);
  std::vector<Layout> layouts;
  std::vector<h5::Head> first;
  for (int i = 0; i < 20; ++i) layouts.push_back(random_layout(random, pick(random, 0, 100), 60));
  for (const auto& layout : layouts) first.push_back(build(layout));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 counts times in seconds
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    std::filesystem::remove(file_);
    const auto second = build(layouts[i]);
    EXPECT_EQ(first[i].bytes, second.bytes);
    EXPECT_EQ(first[i].object_addresses, second.object_addresses);
  }
}

// Whatever release of HDF5 builds it: the head is a function of the layout alone (docs/reference/format.md). Of each
// kind of dataset and group.
TEST_F(LayoutHead, HasTheSameBytesWithEveryHdf5) {
  std::vector<GlobalTensor> planned = {{"/scalar", DType::float64, {}},
                                       {"/empty", DType::float64, {0, 3}},
                                       {"/many_dims", DType::bfloat16, Shape(32, 1)},
                                       {"/large", DType::float16, {3, std::uint64_t{1} << 30}},
                                       {"/chunked_and_large", DType::float32, {1 << 14, 1 << 14}, {1 << 14, 1 << 13}}};
  for (const auto dtype : kAllDTypes) {
    const std::string key(name(dtype));
    planned.push_back({"/model/" + key, dtype, {5, 7}});
    planned.push_back({"/optimizer/" + key + "/chunked", dtype, {5, 7}, {5, 4}});
    planned.push_back({"/optimizer/" + key + "/\xC3\xA4", dtype, {300}});
  }
  for (int i = 0; i < 300; ++i) planned.push_back({"/many/" + std::to_string(i), DType::int8, {3}});
  const std::vector<DocumentSlot> documents = {{"/user_content", 1024}, {"/optimizer/param_groups", 65536}};
  const auto layout = test::layout_of(test::replicated(3, planned, documents), 4096);
  EXPECT_EQ(hash_bytes(build(layout).bytes), 0xc279f15b'e8da6c8cU);
}

TEST_F(LayoutHead, HoldsAllMetadataAndNothingElse) {
  Random random(4);
  const auto layout = random_layout(random, 50, 60);
  const auto head = build(layout);
  for (const auto address : head.object_addresses) EXPECT_LT(address, layout.head_bytes);
  const auto bytes = test::read_file(file_);
  ASSERT_EQ(bytes.size(), layout.file_bytes);
  EXPECT_TRUE(std::equal(head.bytes.begin(), head.bytes.end(), bytes.begin()));
  EXPECT_TRUE(std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(layout.head_bytes), bytes.end(),
                          [](std::byte b) { return b == std::byte{0}; }));
}

}  // namespace
}  // namespace muster::layout_head_test
