// Plans for thousands of ranks: still every byte once, even, the same whatever the order of the groups, and cheap.

#include "bench/plan_scale.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <tuple>

#include "bench/simulated_job.hpp"
#include "model/shard_map.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"
#include "plan/read_plan.hpp"
#include "plan/read_requests.hpp"
#include "support/sanitized.hpp"

namespace muster::plan_scale_test {
namespace {

using bench::HeldMoments;
using bench::PlanScaleOptions;
using bench::SimulatedJob;

constexpr int kManyRanks = test::kSanitized ? 1024 : 4096;
constexpr std::uint64_t kAlignment = 4096;
constexpr std::uint64_t kMinPart = 64 << 10;

struct Case {
  const char* name;
  Grid grid;
  HeldMoments held;
  friend void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
};

class PlanScale : public testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] static SimulatedJob job_of(int ranks, std::uint64_t tensors) {
    return {ranks, tensors, GetParam().grid, GetParam().held};
  }

  // PipelineStages hold different numbers of layers, so bytes can be even within a stage only.
  void expect_even_in_stages(const std::vector<std::uint64_t>& bytes, std::uint64_t slack) const {
    const auto ranks = bytes.size() / static_cast<std::size_t>(GetParam().grid.pipeline);
    for (auto stage = bytes.begin(); stage != bytes.end(); stage += static_cast<std::ptrdiff_t>(ranks)) {
      const auto end = stage + static_cast<std::ptrdiff_t>(ranks);
      const auto mean = std::accumulate(stage, end, std::uint64_t{0}) / ranks;
      EXPECT_LE(*std::max_element(stage, end), mean + slack);
      EXPECT_GE(*std::min_element(stage, end) + slack, mean);
    }
  }
};

std::vector<plan::RankDescriptions> groups_of(const SimulatedJob& job) {
  std::vector<plan::RankDescriptions> groups;
  for (const auto& each : job.distinct()) groups.push_back({each.ranks, plan::unpack(each.bytes)});
  return groups;
}

GlobalState merged(const SimulatedJob& job, const std::vector<plan::RankDescriptions>& groups) {
  plan::Merger merger(job.peer_groups());
  for (const auto& [ranks, descriptions] : groups) merger.add(ranks, descriptions);
  return merger.finish();
}

GlobalState merged(const SimulatedJob& job) { return merged(job, groups_of(job)); }

// Of what a rank holds of a tensor, in the order of the file.
std::vector<ElementRange> ranges_in_file(const ShardDescription& description, const GlobalTensor& tensor) {
  std::vector<ElementRange> ranges;
  const StorageOrder order(tensor.shape, tensor.chunk_shape);
  const ShardMap map(order, description.shard, DType::uint8);
  map.visit_runs(0, order.elements(), [&](const ShardRun& run) {
    if (!ranges.empty() && ranges.back().first + ranges.back().count == run.in_file) {
      ranges.back().count += run.bytes;
    } else {
      ranges.push_back({run.in_file, run.bytes});
    }
  });
  return ranges;
}

WritePlan balanced(const GlobalState& state) {
  plan::BalanceOptions options;
  options.alignment_bytes = kAlignment;
  for (int rank = 0; rank < state.world_size; ++rank) options.node_of_rank.push_back(rank / 8);
  return plan::balance(state, options);
}

// Every byte of every tensor in one extent, by a rank that says it holds that byte.
void expect_every_byte_once(const GlobalState& state, const WritePlan& plan) {
  std::map<std::string_view, const GlobalTensor*> by_path;
  for (const auto& tensor : state.tensors) by_path[tensor.path] = &tensor;
  auto extent = plan.extents.begin();
  for (std::uint32_t i = 0; i < plan.tensors.size(); ++i) {
    const auto& tensor = *by_path.at(plan.tensors[i].path);
    const auto item = item_bytes(tensor.dtype);
    std::uint64_t covered = 0;
    for (const auto& range : tensor.ranges) {
      const auto& ranks = state.rank_sets[range.rank_set];
      for (const auto end = (range.first + range.count) * item; covered < end; ++extent) {
        ASSERT_NE(extent, plan.extents.end());
        ASSERT_EQ(std::tie(extent->tensor, extent->offset), std::tie(i, covered));
        covered += extent->bytes;
        ASSERT_LE(covered, end);
        ASSERT_TRUE(std::binary_search(ranks.begin(), ranks.end(), extent->writer));
      }
    }
    ASSERT_EQ(covered, storage_bytes(tensor.dtype, tensor.shape, tensor.chunk_shape));
  }
  ASSERT_EQ(extent, plan.extents.end());
}

TEST_P(PlanScale, GivesEveryByteOnceAndEvenly) {
  const auto job = job_of(kManyRanks, 1000);
  const auto state = merged(job);
  EXPECT_EQ(state.tensors.size(), GetParam().held != HeldMoments::replicated ? 3000U : 1000U);
  const auto plan = balanced(state);
  expect_every_byte_once(state, plan);
  expect_even_in_stages(plan::written_bytes(plan), 2 * (kMinPart + kAlignment));
}

TEST_P(PlanScale, MergesWhatItsRanksSay) {
  // The shortcut by which a simulated job finds its distinct gives what asking each rank would.
  const auto job = job_of(128, 200);
  const auto state = merged(job);
  std::map<std::string_view, const GlobalTensor*> by_path;
  std::map<std::string_view, std::vector<RankSet>> held;  // by path; who holds each range
  for (const auto& tensor : state.tensors) {
    by_path[tensor.path] = &tensor;
    held[tensor.path].resize(tensor.ranges.size());
  }
  for (int rank = 0; rank < job.ranks(); ++rank) {
    const auto own = job.state_of(rank);
    for (const auto& [description, memory] : own.tensors()) {
      ASSERT_TRUE(by_path.contains(description.path)) << description.path;
      const auto& ranges = by_path[description.path]->ranges;
      auto& holders = held[description.path];
      for (const auto& [first, count] : ranges_in_file(description, *by_path[description.path])) {
        auto range = std::ranges::lower_bound(ranges, first, {}, &HeldRange::first);
        for (auto covered = first; covered < first + count; ++range) {
          ASSERT_NE(range, ranges.end());
          ASSERT_EQ(range->first, covered) << description.path;
          covered += range->count;
          holders[static_cast<std::size_t>(range - ranges.begin())].push_back(rank);
        }
      }
    }
  }
  for (const auto& tensor : state.tensors) {
    for (std::size_t i = 0; i < tensor.ranges.size(); ++i) {
      ASSERT_EQ(state.rank_sets[tensor.ranges[i].rank_set], held[tensor.path][i]) << tensor.path;
    }
  }
}

TEST_P(PlanScale, DoesNotDependOnTheOrderOfTheGroups) {
  const auto job = job_of(kManyRanks, 500);
  auto groups = groups_of(job);
  const auto layout = plan::lay_out(balanced(merged(job, groups)), kAlignment);
  std::mt19937_64 random(7);
  std::shuffle(groups.begin(), groups.end(), random);
  const auto again = plan::lay_out(balanced(merged(job, groups)), kAlignment);
  EXPECT_EQ(layout.file_bytes, again.file_bytes);
  EXPECT_TRUE(std::equal(layout.tensors.begin(), layout.tensors.end(), again.tensors.begin(), again.tensors.end(),
                         [](const auto& a, const auto& b) { return a.path == b.path && a.offset == b.offset; }));
  EXPECT_TRUE(std::equal(layout.extents.begin(), layout.extents.end(), again.extents.begin(), again.extents.end(),
                         [](const auto& a, const auto& b) {
                           return std::tie(a.offset, a.bytes, a.writer) == std::tie(b.offset, b.bytes, b.writer);
                         }));
}

Layout saved_by(const SimulatedJob& job) { return plan::lay_out(balanced(merged(job)), kAlignment); }

std::vector<plan::RankRequests> requests_of(const SimulatedJob& job, const Layout& layout) {
  std::vector<plan::RankRequests> all_requests;
  for (const auto& each : job.all_requests(layout).distinct) {
    all_requests.push_back({each.ranks, plan::unpack_requests(each.bytes)});
  }
  return all_requests;
}

bool holds_elements(const Layout& layout, std::size_t extent) {
  const auto& [offset, bytes] = static_cast<const ByteRange&>(layout.extents[extent]);
  const auto& tensor = layout.tensors[layout.extents[extent].tensor];
  const ShardMap all(StorageOrder(tensor.shape, tensor.chunk_shape), Shard::whole(), tensor.dtype);
  bool any = false;
  all.visit_runs(offset - tensor.offset, bytes, [&](const ShardRun& run) { any = any || run.bytes > 0; });
  return any;
}

// What each reader reads of a plan in which each extent is read once, by one that wants it, but for those that are
// nothing but padding of chunks.
std::vector<std::uint64_t> read_bytes(const SimulatedJob& job, const Layout& layout) {
  RankSet readers(static_cast<std::size_t>(job.ranks()));
  std::iota(readers.begin(), readers.end(), 0);
  std::vector<std::uint64_t> read(readers.size(), 0);
  std::uint64_t extents = 0;
  for (const auto& unit : plan::plan_reads(layout, requests_of(job, layout), readers)) {
    for (; extents < unit.first_extent; ++extents) EXPECT_FALSE(holds_elements(layout, extents));
    EXPECT_EQ(unit.first_extent, extents);
    extents += unit.extents;
    EXPECT_TRUE(std::binary_search(unit.wanted_by.begin(), unit.wanted_by.end(), unit.reader));
    read[static_cast<std::size_t>(unit.reader)] += unit.bytes;
  }
  for (; extents < layout.extents.size(); ++extents) EXPECT_FALSE(holds_elements(layout, extents));
  return read;
}

TEST_P(PlanScale, ReadsWhatWasSavedWhereItIsWantedAndEvenly) {
  const auto job = job_of(kManyRanks, 1000);
  expect_even_in_stages(read_bytes(job, saved_by(job)), 2 * kMaxExtentBytes);
}

TEST_P(PlanScale, ReadsEverythingOnceInAnotherGrid) {
  const auto layout = saved_by(job_of(256, 300));
  for (const Grid& grid : {Grid{.tensor = 4, .pipeline = 2}, Grid{.tensor = 2}, Grid{.tensor = 16, .pipeline = 4}}) {
    const SimulatedJob job(512, 300, grid, GetParam().held);
    const auto read = read_bytes(job, layout);
    EXPECT_GE(std::accumulate(read.begin(), read.end(), std::uint64_t{0}), layout.payload_bytes);
  }
}

TEST_P(PlanScale, FindsForAllRanksWhatEachWouldWant) {
  // As MergesWhatItsRanksSay, of a load in another grid.
  const auto layout = saved_by(job_of(128, 100));
  const SimulatedJob job(64, 100, {.tensor = 4, .pipeline = 2}, GetParam().held);
  std::map<int, std::vector<plan::ReadRequest>> requests;
  for (const auto& rank_requests : requests_of(job, layout)) {
    for (const int rank : rank_requests.ranks)
      requests[rank].insert(requests[rank].end(), rank_requests.requests.begin(), rank_requests.requests.end());
  }
  const auto as_tuples = [](const std::vector<plan::ReadRequest>& some) {
    std::vector<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>> tuples;
    for (const auto& request : some) tuples.emplace_back(request.tensor, request.offset, request.bytes);
    std::ranges::sort(tuples);
    return tuples;
  };
  for (int rank = 0; rank < job.ranks(); ++rank) {
    ASSERT_EQ(as_tuples(requests[rank]), as_tuples(job.wants_of(rank, layout))) << "rank " << rank;
  }
}

TEST_P(PlanScale, TakesLessThan256MiB) {
  if (test::kSanitized) GTEST_SKIP() << "measures nothing under a sanitizer";
  // A chunk of every tensor on each of 16384 ranks is more than that: millions of extents, each a row of the file.
  const int ranks = GetParam().held == HeldMoments::chunks ? 1024 : 16384;
  const auto report =
      bench::measure_plan({.ranks = ranks, .tensors = 3000, .grid = GetParam().grid, .held = GetParam().held});
  EXPECT_GT(report.save.fullest_rank_bytes, report.save.exchanged_bytes);
  EXPECT_LT(report.save.fullest_rank_bytes, std::uint64_t{256} << 20);
  EXPECT_LT(report.load.fullest_rank_bytes, std::uint64_t{256} << 20);
}

const Grid kGrid{.tensor = 8, .pipeline = 16};
INSTANTIATE_TEST_SUITE_P(Grids, PlanScale,
                         testing::Values(Case{"replicas", {}, HeldMoments::replicated},
                                         Case{"grid", kGrid, HeldMoments::replicated},
                                         Case{"zero1", {}, HeldMoments::zero1},
                                         Case{"grid_zero1", kGrid, HeldMoments::zero1},
                                         Case{"grid_chunks", kGrid, HeldMoments::chunks}),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace muster::plan_scale_test
