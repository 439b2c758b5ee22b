// What a benchmark saves, and who holds it.

#include "bench/workload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "bench/held_tensors.hpp"
#include "support/expect_error.hpp"

namespace muster::workload_test {
namespace {

using bench::assign_holders;
using bench::HeldTensors;
using bench::make_large;
using bench::make_llm;
using bench::make_small;
using bench::parse_bytes;
using bench::Workload;
using testing::HasSubstr;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

void expect_distinct_paths(const Workload& workload) {
  std::set<std::string> paths;
  for (const auto& tensor : workload.tensors) EXPECT_TRUE(paths.insert(tensor.path).second) << tensor.path;
}

const bench::TensorSpec& find(const Workload& workload, std::string_view path) {
  const auto found = std::find_if(workload.tensors.begin(), workload.tensors.end(),
                                  [&](const auto& tensor) { return tensor.path == path; });
  EXPECT_NE(found, workload.tensors.end()) << path;
  return *found;
}

TEST(Workload, LargeHasTensorsOf16MiB) {
  const auto workload = make_large(2 * kGiB);
  EXPECT_EQ(workload.tensors.size(), 128U);
  EXPECT_EQ(workload.payload_bytes(), 2 * kGiB);
  for (const auto& tensor : workload.tensors) EXPECT_EQ(tensor.bytes(), 16 * kMiB);
  expect_distinct_paths(workload);
  EXPECT_EQ(make_large(1).tensors.size(), 1U);
}

TEST(Workload, SmallHasTensorsOf16KiB) {
  EXPECT_EQ(make_small(0).tensors.size(), 5000U);
  const auto workload = make_small(8 * kMiB);
  EXPECT_EQ(workload.tensors.size(), 512U);
  EXPECT_EQ(workload.tensors.front().shape, (Shape{64, 64}));
  expect_distinct_paths(workload);
}

TEST(Workload, LlmComesWithin2PercentOfItsSize) {
  for (const auto size_bytes :
       {4 * kMiB, 32 * kMiB, 100 * kMiB, 256 * kMiB, kGiB, 2 * kGiB, 3 * kGiB, 10 * kGiB, 70 * kGiB, 700 * kGiB}) {
    const auto workload = make_llm(size_bytes);
    const double ratio = static_cast<double>(workload.payload_bytes()) / static_cast<double>(size_bytes);
    EXPECT_NEAR(ratio, 1, 0.02) << size_bytes << " bytes";
    expect_distinct_paths(workload);
  }
}

TEST(Workload, LlmHasTheShapesOfADecoderAndAdamW) {
  const auto workload = make_llm(2 * kGiB);
  const auto& embedding = find(workload, "/model/model.embed_tokens.weight");
  const auto width = embedding.shape.at(1);
  EXPECT_EQ(embedding.dtype, DType::bfloat16);
  EXPECT_EQ(find(workload, "/model/lm_head.weight").shape, embedding.shape);
  EXPECT_EQ(find(workload, "/model/model.layers.0.self_attn.q_proj.weight").shape, (Shape{width, width}));
  const auto feed_forward = find(workload, "/model/model.layers.0.mlp.gate_proj.weight").shape.at(0);
  EXPECT_GE(3 * feed_forward, 8 * width);
  EXPECT_EQ(find(workload, "/model/model.layers.1.mlp.down_proj.weight").shape, (Shape{width, feed_forward}));
  EXPECT_EQ(find(workload, "/model/model.norm.weight").shape, (Shape{width}));
  const auto& moment = find(workload, "/optimizer/model.layers.0.mlp.up_proj.weight/exp_avg_sq");
  EXPECT_EQ(moment.dtype, DType::float32);
  EXPECT_EQ(moment.shape, (Shape{feed_forward, width}));
  const auto& step = find(workload, "/optimizer/model.norm.weight/step");
  EXPECT_EQ(step.shape, Shape{});
  // 3 outside the layers and 9 in each, every one with step and two moments.
  EXPECT_EQ((workload.tensors.size() / 4 - 3) % 9, 0U);
}

TEST(Workload, LlmThatCannotBeIsRefused) {
  EXPECT_THAT(test::error_of(ErrorKind::usage, [] { make_llm(1000); }), HasSubstr("within 2%"));
}

TEST(Workload, HoldersAreContiguousAndEven) {
  for (const int ranks : {1, 2, 3, 4, 8}) {
    for (const auto& workload : {make_large(kGiB), make_small(0), make_llm(kGiB)}) {
      const auto holders = assign_holders(workload, ranks);
      ASSERT_EQ(holders.size(), workload.tensors.size());
      EXPECT_TRUE(std::is_sorted(holders.begin(), holders.end()));
      std::vector<std::uint64_t> held(static_cast<std::size_t>(ranks));
      std::uint64_t largest = 0;
      for (std::size_t i = 0; i < holders.size(); ++i) {
        ASSERT_GE(holders[i], 0);
        ASSERT_LT(holders[i], ranks);
        held[static_cast<std::size_t>(holders[i])] += workload.tensors[i].bytes();
        largest = std::max(largest, workload.tensors[i].bytes());
      }
      const auto even = workload.payload_bytes() / static_cast<std::uint64_t>(ranks);
      for (const auto bytes : held) EXPECT_LE(bytes, even + largest);
    }
  }
}

TEST(Workload, SizesAsPeopleWriteThem) {
  EXPECT_EQ(parse_bytes("2GiB"), 2 * kGiB);
  EXPECT_EQ(parse_bytes("1.5 MiB"), 3 * kMiB / 2);
  EXPECT_EQ(parse_bytes("100MB"), 100'000'000U);
  EXPECT_EQ(parse_bytes("4096"), 4096U);
  for (const char* text : {"", "GiB", "0", "-1GiB", "2 GiBs", "2gb", "1e30", "nan", "inf"}) {
    EXPECT_THAT(test::error_of(ErrorKind::usage, [&] { parse_bytes(text); }), HasSubstr("is no size"));
  }
}

TEST(HeldTensors, ShardedRanksHoldEachByteOnce) {
  const auto workload = make_llm(4 * kMiB);
  std::uint64_t bytes = 0;
  for (int rank = 0; rank < 3; ++rank) bytes += HeldTensors(workload, bench::Held::sharded, rank, 3).bytes();
  EXPECT_EQ(bytes, workload.payload_bytes());
  EXPECT_EQ(HeldTensors(workload, bench::Held::replicated, 2, 3).bytes(), workload.payload_bytes());
}

TEST(HeldTensors, VerifyFindsOtherBytes) {
  const auto workload = make_small(64 * kKiB);
  HeldTensors held(workload, bench::Held::replicated, 0, 1);
  EXPECT_NO_THROW(held.verify());
  held.state().tensors().back().memory.data[16383] ^= std::byte{1};
  EXPECT_THAT(test::error_of(ErrorKind::corrupt, [&] { held.verify(); }), HasSubstr("/model/layers.3.weight"));
  held.spoil();
  EXPECT_THAT(test::error_of(ErrorKind::corrupt, [&] { held.verify(); }), HasSubstr("/model/layers.0.weight"));
}

}  // namespace
}  // namespace muster::workload_test
