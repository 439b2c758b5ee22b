#include "bench/plan_scale.hpp"

#include <algorithm>
#include <numeric>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "bench/memory.hpp"
#include "model/catalog_bytes.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"
#include "plan/read_plan.hpp"
#include "plan/read_requests.hpp"

namespace muster::bench {

namespace {

constexpr int kRanksOfANode = 8;
constexpr std::uint64_t kAlignmentBytes = 4096;

double spread(const std::vector<std::uint64_t>& bytes) {
  const auto total = std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
  if (total == 0) return 1;
  const auto mean = static_cast<double>(total) / static_cast<double>(bytes.size());
  return static_cast<double>(*std::max_element(bytes.begin(), bytes.end())) / mean;
}

// Steps one after the other, and how long each took.
class Steps {
 public:
  void begin() { watch_.lap(); }
  void end(const char* name) { seconds_.emplace_back(name, watch_.lap()); }
  std::vector<std::pair<std::string, double>> take() { return std::move(seconds_); }

 private:
  Stopwatch watch_;
  std::vector<std::pair<std::string, double>> seconds_;
};

// As the saver goes about it on every rank.
Layout plan_save(const SimulatedJob& job, PlanReport& report) {
  plan::BalanceOptions options;
  options.alignment_bytes = kAlignmentBytes;
  for (int rank = 0; rank < job.ranks(); ++rank) options.node_of_rank.push_back(rank / kRanksOfANode);
  const auto groups = job.peer_groups();
  PeakMemory memory;
  Steps steps;
  const auto state = job.state_of(0);
  auto distinct = job.distinct();
  report.distinct = distinct.size();
  for (const auto& each : distinct) report.exchanged_bytes += each.bytes.size();
  memory.restart();
  steps.begin();

  std::uint64_t fingerprint = 0;
  for (const auto& packed : plan::pack_for_exchange(plan::describe(state))) fingerprint ^= hash_bytes(packed);
  if (fingerprint != 0) steps.end("describe_and_pack");
  plan::Merger merger(groups);
  for (auto& each : distinct) merger.add(std::move(each.ranks), plan::unpack(each.bytes));
  distinct = {};
  steps.end("unpack_and_add");
  auto global = merger.finish();
  merger = plan::Merger(std::vector<int>{});
  steps.end("merge");
  auto writes = plan::balance(global, options);
  global = {};
  steps.end("balance");
  report.spread = spread(plan::written_bytes(writes));
  steps.begin();
  auto layout = plan::lay_out(std::move(writes), kAlignmentBytes);
  steps.end("lay_out");
  report.fullest_rank_bytes = memory.peak_bytes();
  report.steps_s = steps.take();

  report.extents = layout.extents.size();
  return layout;
}

// As the loader goes about it on the rank that wants most: from the catalog that rank 0 sends to who reads what.
PlanReport plan_load(const SimulatedJob& job, const Catalog& saved) {
  PlanReport report;
  RankSet readers(static_cast<std::size_t>(job.ranks()));
  std::iota(readers.begin(), readers.end(), 0);
  PeakMemory memory;
  Steps steps;
  auto packed = pack(saved);
  auto [distinct, fullest_rank] = job.all_requests(saved);
  report.distinct = distinct.size();
  report.exchanged_bytes = packed.size();
  for (const auto& each : distinct) report.exchanged_bytes += each.bytes.size();
  memory.restart();
  steps.begin();

  const auto catalog = unpack_catalog(packed);
  packed = {};
  steps.end("unpack_catalog");
  const auto own = plan::pack_for_exchange(catalog, job.wants_of(fullest_rank, catalog));
  steps.end("own_requests");
  std::vector<plan::RankRequests> all_requests;
  all_requests.reserve(distinct.size());
  for (const auto& each : distinct) all_requests.push_back({each.ranks, plan::unpack_requests(each.bytes)});
  steps.end("unpack_requests");
  const auto units = plan::plan_reads(catalog, all_requests, readers);
  steps.end("plan_reads");
  report.fullest_rank_bytes = memory.peak_bytes();
  report.steps_s = steps.take();

  report.extents = units.size();
  std::vector<std::uint64_t> read(readers.size(), 0);
  for (const auto& unit : units) read[static_cast<std::size_t>(unit.reader)] += unit.bytes;
  report.spread = spread(read);
  return report;
}

nlohmann::json json_of(const PlanReport& report) {
  double plan_s = 0;
  auto steps_s = nlohmann::json::object();
  for (const auto& [name, seconds] : report.steps_s) {
    steps_s[name] = seconds;
    plan_s += seconds;
  }
  return {{"plan_s", plan_s},
          {"fullest_rank_bytes", report.fullest_rank_bytes},
          {"exchanged_bytes", report.exchanged_bytes},
          {"distinct", report.distinct},
          {"extents", report.extents},
          {"spread", report.spread},
          {"steps_s", steps_s}};
}

}  // namespace

nlohmann::json PlanScaleReport::to_json() const { return {{"save", json_of(save)}, {"load", json_of(load)}}; }

PlanScaleReport measure_plan(const PlanScaleOptions& options) {
  PlanScaleReport report;
  const SimulatedJob job(options.ranks, options.tensors, options.grid, options.held);
  report.load = plan_load(job, Catalog{plan_save(job, report.save), {}});
  return report;
}

}  // namespace muster::bench
