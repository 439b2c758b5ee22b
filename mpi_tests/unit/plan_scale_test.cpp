// Plans for thousands of ranks: still every byte once, even, the same whatever the order of the voices, and cheap.

#include "bench/plan_scale.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <tuple>

#include "bench/simulated_job.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"

namespace muster {
namespace {

using bench::PlanScaleOptions;
using bench::SimulatedJob;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kIsSlow = true;
#else
constexpr bool kIsSlow = false;
#endif

constexpr std::uint64_t kAlignment = 4096;
constexpr std::uint64_t kMinPart = 64 << 10;

struct Grid {
  const char* name;
  int tensor_parallel;
  int pipeline;
  bool zero1;
};

void PrintTo(const Grid& grid, std::ostream* out) { *out << grid.name; }

class PlanScale : public testing::TestWithParam<Grid> {
 protected:
  [[nodiscard]] PlanScaleOptions options(int ranks, std::uint64_t tensors) const {
    return {.ranks = ranks,
            .tensors = tensors,
            .tensor_parallel = GetParam().tensor_parallel,
            .pipeline = GetParam().pipeline,
            .zero1 = GetParam().zero1};
  }

  // Stages hold different numbers of layers, so bytes can be even within a stage only.
  void expect_even_in_stages(const std::vector<std::uint64_t>& bytes, std::uint64_t slack) const {
    const auto ranks = bytes.size() / static_cast<std::size_t>(GetParam().pipeline);
    for (auto stage = bytes.begin(); stage != bytes.end(); stage += static_cast<std::ptrdiff_t>(ranks)) {
      const auto end = stage + static_cast<std::ptrdiff_t>(ranks);
      const auto mean = std::accumulate(stage, end, std::uint64_t{0}) / ranks;
      EXPECT_LE(*std::max_element(stage, end), mean + slack);
      EXPECT_GE(*std::min_element(stage, end) + slack, mean);
    }
  }
};

std::vector<plan::Voice> voices_of(const SimulatedJob& job) {
  std::vector<plan::Voice> voices;
  for (const auto& saying : job.sayings()) voices.push_back({saying.ranks, plan::unpack(saying.bytes)});
  return voices;
}

WritePlan balanced(const GlobalState& state) {
  plan::BalanceOptions options;
  options.alignment_bytes = kAlignment;
  for (int rank = 0; rank < state.world_size; ++rank) options.node_of_rank.push_back(rank / 8);
  return plan::balance(state, options);
}

// Every byte of every tensor in one piece, by a rank that says it holds that byte.
void expect_every_byte_once(const GlobalState& state, const WritePlan& plan) {
  std::map<std::string_view, const GlobalTensor*> by_path;
  for (const auto& tensor : state.tensors) by_path[tensor.path] = &tensor;
  auto piece = plan.pieces.begin();
  for (std::uint32_t i = 0; i < plan.tensors.size(); ++i) {
    const auto& tensor = *by_path.at(plan.tensors[i].path);
    const auto item = item_bytes(tensor.dtype);
    std::uint64_t covered = 0;
    for (const auto& [range, holders] : tensor.holdings) {
      const auto& ranks = state.rank_sets[holders];
      for (const auto end = (range.first + range.count) * item; covered < end; ++piece) {
        ASSERT_NE(piece, plan.pieces.end());
        ASSERT_EQ(std::tie(piece->tensor, piece->first_byte), std::tie(i, covered));
        covered += piece->bytes;
        ASSERT_LE(covered, end);
        ASSERT_TRUE(std::binary_search(ranks.begin(), ranks.end(), piece->writer));
      }
    }
    ASSERT_EQ(covered, element_count(tensor.shape) * item);
  }
  ASSERT_EQ(piece, plan.pieces.end());
}

TEST_P(PlanScale, GivesEveryByteOnceAndEvenly) {
  const SimulatedJob job(options(4096, 1000));
  const auto state = plan::merge(job.ranks(), voices_of(job));
  EXPECT_EQ(state.tensors.size(), GetParam().zero1 ? 3000U : 1000U);
  const auto plan = balanced(state);
  expect_every_byte_once(state, plan);
  expect_even_in_stages(plan::written_bytes(plan), 2 * (kMinPart + kAlignment));
}

TEST_P(PlanScale, MergesWhatItsRanksSay) {
  // The shortcut by which a simulated job finds its sayings gives what asking each rank would.
  const SimulatedJob job(options(128, 200));
  std::map<std::string, std::map<std::pair<std::uint64_t, std::uint64_t>, RankSet>> held;
  for (int rank = 0; rank < job.ranks(); ++rank) {
    const auto own = job.state_of(rank);
    for (const auto& tensor : own.tensors()) {
      const auto range = contiguous_range(tensor.description.shard, tensor.description.global_shape);
      held[tensor.description.path][{range->first, range->count}].push_back(rank);
    }
  }
  const auto state = plan::merge(job.ranks(), voices_of(job));
  ASSERT_EQ(state.tensors.size(), held.size());
  for (const auto& tensor : state.tensors) {
    std::map<std::pair<std::uint64_t, std::uint64_t>, RankSet> merged;
    for (const auto& [range, holders] : tensor.holdings) merged[{range.first, range.count}] = state.rank_sets[holders];
    ASSERT_EQ(merged, held[tensor.path]) << tensor.path;
  }
}

TEST_P(PlanScale, DoesNotDependOnTheOrderOfTheVoices) {
  const SimulatedJob job(options(4096, 500));
  auto voices = voices_of(job);
  const auto layout = plan::lay_out(balanced(plan::merge(job.ranks(), voices)), kAlignment);
  std::mt19937_64 random(7);
  std::shuffle(voices.begin(), voices.end(), random);
  const auto again = plan::lay_out(balanced(plan::merge(job.ranks(), voices)), kAlignment);
  EXPECT_EQ(layout.file_bytes, again.file_bytes);
  EXPECT_TRUE(std::equal(layout.datasets.begin(), layout.datasets.end(), again.datasets.begin(), again.datasets.end(),
                         [](const auto& a, const auto& b) { return a.path == b.path && a.offset == b.offset; }));
  EXPECT_TRUE(std::equal(layout.extents.begin(), layout.extents.end(), again.extents.begin(), again.extents.end(),
                         [](const auto& a, const auto& b) {
                           return std::tie(a.offset, a.bytes, a.writer) == std::tie(b.offset, b.bytes, b.writer);
                         }));
}

TEST_P(PlanScale, ReadsWhatWasSavedWhereItIsWantedAndEvenly) {
  const SimulatedJob job(options(4096, 1000));
  const auto layout = plan::lay_out(balanced(plan::merge(job.ranks(), voices_of(job))), kAlignment);
  const auto catalog = bench::catalog_of(layout);
  RankSet readers(static_cast<std::size_t>(job.ranks()));
  std::iota(readers.begin(), readers.end(), 0);
  const auto units = plan::plan_reads(catalog, job.wishes(catalog), readers);
  std::vector<std::uint64_t> read(readers.size(), 0);
  std::uint64_t extents = 0;
  for (const auto& unit : units) {
    ASSERT_EQ(unit.first_extent, extents);
    extents += unit.extents;
    ASSERT_TRUE(std::binary_search(unit.wanted_by.begin(), unit.wanted_by.end(), unit.reader));
    read[static_cast<std::size_t>(unit.reader)] += unit.bytes;
  }
  EXPECT_EQ(extents, catalog.extents.size());
  expect_even_in_stages(read, 2 * kMaxExtentBytes);
}

TEST_P(PlanScale, TakesLessThan256MiBFor16384Ranks) {
  if (kIsSlow) GTEST_SKIP() << "measures nothing under a sanitizer";
  const auto report = bench::measure_plan(options(16384, 3000));
  EXPECT_GT(report.fullest_rank_bytes, report.exchanged_bytes);
  EXPECT_LT(report.fullest_rank_bytes, std::uint64_t{256} << 20);
  EXPECT_LT(report.read_plan_bytes, std::uint64_t{256} << 20);
}

INSTANTIATE_TEST_SUITE_P(Grids, PlanScale,
                         testing::Values(Grid{"replicas", 1, 1, false}, Grid{"grid", 8, 16, false},
                                         Grid{"zero1", 1, 1, true}, Grid{"grid_zero1", 8, 16, true}),
                         [](const auto& grid) { return std::string(grid.param.name); });

}  // namespace
}  // namespace muster
