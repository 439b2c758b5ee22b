#include "bench/plan_scale.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "bench/workload.hpp"
#include "model/plan.hpp"
#include "plan/balance.hpp"
#include "plan/layout.hpp"

namespace muster::bench {

namespace {

// Pipeline stage p holds its share of the tensors; its tensor and data parallel ranks all hold replicas.
GlobalState make_state(const PlanScaleOptions& options) {
  constexpr std::uint64_t kTensorBytes = std::uint64_t{16} << 20;
  const auto workload = make_large(options.tensors * kTensorBytes);
  GlobalState state;
  state.world_size = options.ranks;
  const auto stages = static_cast<std::uint64_t>(options.pipeline);
  const auto stage_ranks = options.ranks / options.pipeline;
  for (int stage = 0; stage < options.pipeline; ++stage) {
    RankSet ranks;
    for (int i = 0; i < stage_ranks; ++i) ranks.push_back(stage * stage_ranks + i);
    state.rank_sets.push_back(std::move(ranks));
  }
  for (std::uint64_t i = 0; i < options.tensors; ++i) {
    const auto& tensor = workload.tensors[i];
    const auto stage = static_cast<std::uint32_t>(i * stages / options.tensors);
    state.tensors.push_back({tensor.path, tensor.dtype, tensor.shape, {{{0, element_count(tensor.shape)}, stage}}});
  }
  std::sort(state.tensors.begin(), state.tensors.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return state;
}

}  // namespace

PlanScaleReport measure_plan(const PlanScaleOptions& options) {
  constexpr std::uint64_t kAlignmentBytes = 4096;
  constexpr int kRanksPerNode = 8;
  PlanScaleReport report;
  Stopwatch watch;
  const auto state = make_state(options);
  plan::BalanceOptions balance{.node_of_rank = {}, .alignment_bytes = kAlignmentBytes};
  for (int rank = 0; rank < options.ranks; ++rank) balance.node_of_rank.push_back(rank / kRanksPerNode);
  watch.lap();
  const auto plan = plan::balance(state, balance);
  report.steps_s.emplace_back("balance", watch.lap());
  const auto layout = plan::lay_out(plan, kAlignmentBytes);
  report.steps_s.emplace_back("lay out", watch.lap());
  for (const auto& [step, seconds] : report.steps_s) report.plan_s += seconds;
  const auto written = plan::written_bytes(plan);
  report.fullest_rank_bytes = *std::max_element(written.begin(), written.end());
  report.extents = layout.extents.size();
  return report;
}

nlohmann::json PlanScaleReport::to_json() const {
  auto steps = nlohmann::json::object();
  for (const auto& [step, seconds] : steps_s) steps[step] = seconds;
  return {{"plan_s", plan_s}, {"fullest_rank_bytes", fullest_rank_bytes}, {"extents", extents}, {"steps_s", steps}};
}

}  // namespace muster::bench
