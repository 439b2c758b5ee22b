// Who writes what: every byte once, by a rank that holds it, evenly.

#include "plan/balance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "support/sample.hpp"

namespace muster::balance_test {
namespace {

using plan::balance;
using plan::BalanceOptions;
using test::pick;
using test::Random;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kMinPart = 64 * kKiB;

BalanceOptions on_nodes_of(int ranks_per_node, int world_size) {
  BalanceOptions options;
  for (int rank = 0; rank < world_size; ++rank) options.node_of_rank.push_back(rank / ranks_per_node);
  return options;
}

std::uint64_t bytes_of(const GlobalTensor& tensor) { return element_count(tensor.shape) * item_bytes(tensor.dtype); }

// Everything that holds for any plan.
void expect_sound(const GlobalState& state, const BalanceOptions& options, const WritePlan& plan) {
  ASSERT_EQ(plan.tensors.size(), state.tensors.size());
  ASSERT_EQ(plan.world_size, state.world_size);
  ASSERT_TRUE(std::is_sorted(plan.extents.begin(), plan.extents.end(), [](const auto& a, const auto& b) {
    return std::pair(a.tensor, a.offset) < std::pair(b.tensor, b.offset);
  }));
  std::map<std::string, const GlobalTensor*> by_path;
  for (const auto& tensor : state.tensors) by_path[tensor.path] = &tensor;
  std::set<std::string> seen;
  std::map<std::pair<std::uint32_t, int>, std::set<int>> writers_on_node;  // of a set of holders
  std::size_t at = 0;
  for (std::uint32_t index = 0; index < plan.tensors.size(); ++index) {
    ASSERT_TRUE(by_path.contains(plan.tensors[index].path));
    ASSERT_TRUE(seen.insert(plan.tensors[index].path).second);
    const auto& tensor = *by_path[plan.tensors[index].path];
    ASSERT_EQ(plan.tensors[index].dtype, tensor.dtype);
    ASSERT_EQ(plan.tensors[index].shape, tensor.shape);
    const auto item = item_bytes(tensor.dtype);
    for (const auto& range : tensor.ranges) {
      const auto& holders = state.rank_sets[range.rank_set];
      auto cursor = range.first * item;
      const auto end = cursor + range.count * item;
      while (cursor < end) {
        ASSERT_LT(at, plan.extents.size());
        const auto writer = plan.extents[at].writer;
        // What one writer has of the range, in one extent or more.
        const auto first = cursor;
        for (; cursor < end && at < plan.extents.size() && plan.extents[at].writer == writer; ++at) {
          const auto& extent = plan.extents[at];
          ASSERT_EQ(extent.tensor, index);
          ASSERT_EQ(extent.offset, cursor);
          ASSERT_GT(extent.bytes, 0U);
          ASSERT_LE(extent.bytes, kMaxExtentBytes);
          cursor += extent.bytes;
        }
        ASSERT_LE(cursor, end);
        ASSERT_TRUE(std::binary_search(holders.begin(), holders.end(), writer));
        const bool is_cut = cursor - first != range.count * item;
        if (is_cut) {
          ASSERT_GE(cursor - first, kMinPart);
        }
        if (cursor != end) {
          ASSERT_EQ(cursor % options.alignment_bytes, 0U);
        }
        const auto node = options.node_of_rank[static_cast<std::size_t>(writer)];
        writers_on_node[{range.rank_set, node}].insert(writer);
      }
    }
  }
  ASSERT_EQ(at, plan.extents.size());
  if (options.writers_per_node > 0) {
    for (const auto& [where, writers] : writers_on_node) {
      ASSERT_LE(writers.size(), static_cast<std::size_t>(options.writers_per_node));
    }
  }
}

bool same(const WritePlan& a, const WritePlan& b) {
  const auto same_extent = [](const Extent& x, const Extent& y) {
    return std::tie(x.tensor, x.offset, x.bytes, x.writer) == std::tie(y.tensor, y.offset, y.bytes, y.writer);
  };
  const auto same_tensor = [](const auto& x, const auto& y) { return x.path == y.path; };
  return std::equal(a.extents.begin(), a.extents.end(), b.extents.begin(), b.extents.end(), same_extent) &&
         std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(), same_tensor);
}

// Tensors of random sizes, some held whole, some cut among random sets of ranks.
GlobalState random_state(Random& random, int world_size) {
  auto state = test::replicated(world_size, {});
  const auto sets = pick(random, 0, 6);
  for (std::uint64_t i = 0; i < sets; ++i) {
    std::set<int> ranks;
    const auto members = pick(random, 1, std::min<std::uint64_t>(static_cast<std::uint64_t>(world_size), 12));
    while (ranks.size() < members) {
      ranks.insert(static_cast<int>(pick(random, 0, static_cast<std::uint64_t>(world_size) - 1)));
    }
    state.rank_sets.emplace_back(ranks.begin(), ranks.end());
  }
  const auto tensors = pick(random, 0, 60);
  for (std::uint64_t i = 0; i < tensors; ++i) {
    GlobalTensor tensor;
    tensor.path = "/t/" + std::to_string(1000 + i);
    tensor.dtype = test::random_dtype(random);
    const std::uint64_t scale = std::uint64_t{1} << pick(random, 0, 22);
    const auto elements = pick(random, 0, scale);
    tensor.shape = {elements};
    if (elements > 0 && random() % 2 == 0) {
      tensor.ranges.push_back({{0, elements}, 0});
    } else if (elements > 0) {
      const auto parts = pick(random, 1, 5);
      std::uint64_t first = 0;
      for (std::uint64_t part = 0; part < parts && first < elements; ++part) {
        const auto count = part + 1 == parts ? elements - first : pick(random, 1, elements - first);
        tensor.ranges.push_back(
            {{first, count}, static_cast<std::uint32_t>(pick(random, 0, state.rank_sets.size() - 1))});
        first += count;
      }
      tensor.ranges.back().count += elements - first;
    }
    state.tensors.push_back(std::move(tensor));
  }
  return state;
}

TEST(Balance, GivesEveryByteOnceToAHolderWhateverTheState) {
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    const auto world_size = static_cast<int>(pick(random, 1, i % 20 == 0 ? 3000 : 20));
    const auto state = random_state(random, world_size);
    auto options = on_nodes_of(static_cast<int>(pick(random, 1, 8)), world_size);
    options.writers_per_node = static_cast<int>(pick(random, 0, 3));
    options.alignment_bytes = std::uint64_t{512} << pick(random, 0, 11);
    const auto plan = balance(state, options);
    expect_sound(state, options, plan);
    if (testing::Test::HasFatalFailure()) return;
    EXPECT_TRUE(same(plan, balance(state, options)));
    const auto written = plan::written_bytes(plan);
    std::uint64_t total = 0;
    for (const auto& tensor : state.tensors) total += bytes_of(tensor);
    EXPECT_EQ(std::accumulate(written.begin(), written.end(), std::uint64_t{0}), total);
  }
}

// Both ends of what a rank writes lie within half an uncut tensor, or a part and the alignment, of the ideal place.
std::uint64_t slack(const BalanceOptions& options) { return 2 * (kMinPart + options.alignment_bytes); }

void expect_even(const GlobalState& state, const BalanceOptions& options) {
  const auto plan = balance(state, options);
  expect_sound(state, options, plan);
  const auto written = plan::written_bytes(plan);
  const auto total = std::accumulate(written.begin(), written.end(), std::uint64_t{0});
  const auto mean = total / written.size();
  EXPECT_LE(*std::max_element(written.begin(), written.end()), mean + slack(options));
  EXPECT_GE(*std::min_element(written.begin(), written.end()) + slack(options), mean);
}

TEST(Balance, IsEvenForLargeReplicatedTensors) {
  for (const int world_size : {1, 2, 3, 7, 64, 1000, 4096}) {
    for (const std::uint64_t alignment : {std::uint64_t{512}, std::uint64_t{4096}, kMiB}) {
      auto options = on_nodes_of(8, world_size);
      options.alignment_bytes = alignment;
      Random random(static_cast<std::uint64_t>(world_size));
      std::vector<GlobalTensor> tensors;
      for (int i = 0; i < 50; ++i) {
        const auto elements = static_cast<std::uint64_t>(world_size) * pick(random, 10000, 2000000);
        tensors.push_back({"/t/" + std::to_string(i), DType::float32, {elements}});
      }
      expect_even(test::replicated(world_size, tensors), options);
    }
  }
}

TEST(Balance, IsEvenForASingleTensor) {
  for (const int world_size : {2, 5, 2048}) {
    const auto elements = static_cast<std::uint64_t>(world_size) * 1000003;
    expect_even(test::replicated(world_size, {{"/t", DType::float64, {elements}}}), on_nodes_of(4, world_size));
  }
}

TEST(Balance, IsEvenForManyTensorsTooSmallToCut) {
  for (const int world_size : {2, 3, 16, 500, 3000}) {
    for (const std::uint64_t kib : {1U, 7U, 60U, 100U, 127U}) {
      std::vector<GlobalTensor> tensors;
      // About one and a half of the larger ones a rank, so that no share is a whole number of tensors.
      const auto count = static_cast<std::uint64_t>(world_size) * 3 / 2 * (kib < 60 ? 20 : 1) + 1;
      for (std::uint64_t i = 0; i < count; ++i) {
        tensors.push_back({"/t/" + std::to_string(i), DType::uint8, {kib * kKiB}});
      }
      expect_even(test::replicated(world_size, tensors), on_nodes_of(8, world_size));
    }
  }
}

TEST(Balance, FillsUpTheRanksThatHaveLessOfTheirOwn) {
  // Rank i alone holds i MiB; a large replica levels everything.
  constexpr int kWorld = 16;
  auto state = test::replicated(kWorld, {{"/all", DType::uint8, {kWorld * 20 * kMiB}}});
  for (std::uint64_t rank = 0; rank < kWorld; ++rank) {
    state.rank_sets.push_back({static_cast<int>(rank)});
    const auto bytes = (rank + 1) * kMiB;
    state.tensors.push_back({{"/own/" + std::to_string(rank), DType::uint8, {bytes}},
                             {},
                             {{{0, bytes}, static_cast<std::uint32_t>(rank + 1)}}});
  }
  expect_even(state, on_nodes_of(4, kWorld));
}

TEST(Balance, GivesPartsWithOneHolderToThatHolder) {
  auto state = test::replicated(3, {});
  state.rank_sets = {{0}, {1}, {2}};
  state.tensors.push_back(
      {{"/rows", DType::uint8, {3, kMiB}}, {}, {{{0, kMiB}, 0}, {{kMiB, kMiB}, 1}, {{2 * kMiB, kMiB}, 2}}});
  auto options = on_nodes_of(3, 3);
  options.writers_per_node = 1;
  const auto plan = balance(state, options);
  ASSERT_EQ(plan.extents.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(plan.extents[i].writer, static_cast<int>(i));
}

TEST(Balance, LetsTheGivenNumberOfRanksOfANodeWrite) {
  constexpr int kWorld = 24;
  auto options = on_nodes_of(8, kWorld);
  options.writers_per_node = 2;
  const auto state = test::replicated(kWorld, {{"/t", DType::float32, {kWorld * kMiB}}});
  const auto plan = balance(state, options);
  expect_sound(state, options, plan);
  std::set<int> writers;
  for (const auto& extent : plan.extents) writers.insert(extent.writer);
  EXPECT_EQ(writers.size(), 6U);
}

TEST(Balance, PutsTheBytesOfAWriterSideBySide) {
  std::vector<GlobalTensor> tensors;
  for (int i = 0; i < 300; ++i) tensors.push_back({"/t/" + std::to_string(1000 + i), DType::uint8, {50 * kKiB}});
  tensors.push_back({"/large", DType::uint8, {30 * kMiB}});
  const auto plan = balance(test::replicated(8, tensors), on_nodes_of(8, 8));
  EXPECT_TRUE(std::is_sorted(plan.extents.begin(), plan.extents.end(),
                             [](const auto& a, const auto& b) { return a.writer < b.writer; }));
}

}  // namespace
}  // namespace muster::balance_test
