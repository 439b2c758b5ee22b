#include "bench/plan_scale.hpp"

#include <algorithm>
#include <numeric>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "bench/peak_memory.hpp"
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
  double end(const char* name) {
    seconds_.emplace_back(name, watch_.lap());
    return seconds_.back().second;
  }
  [[nodiscard]] double total() const {
    double all = 0;
    for (const auto& [name, seconds] : seconds_) all += seconds;
    return all;
  }
  std::vector<std::pair<std::string, double>> take() { return std::move(seconds_); }

 private:
  Stopwatch watch_;
  std::vector<std::pair<std::string, double>> seconds_;
};

// As the saver goes about it on every rank.
class SaveMeasurement {
 public:
  explicit SaveMeasurement(const SimulatedJob& job) : job_(job) {}

  Layout run(PlanScaleReport& report) {
    const plan::BalanceOptions balance = balance_options();
    const auto groups = job_.peer_groups();
    PeakMemory memory;
    const auto state = job_.state_of(0);
    auto distinct = job_.distinct();
    report.distinct_groups = distinct.size();
    for (const auto& each : distinct) report.exchanged_bytes += each.bytes.size();
    memory.restart();
    steps_.begin();

    std::uint64_t fingerprint = 0;
    for (const auto& packed : plan::pack_for_exchange(plan::describe(state))) fingerprint ^= hash_bytes(packed);
    if (fingerprint != 0) report.exchange_pack_s += steps_.end("describe_and_pack");
    plan::Merger merger(groups);
    for (auto& each : distinct) merger.add(std::move(each.ranks), plan::unpack(each.bytes));
    distinct = {};
    report.exchange_pack_s += steps_.end("unpack_and_add");
    auto global = merger.finish();
    merger = plan::Merger(std::vector<int>{});
    steps_.end("merge");
    auto writes = plan::balance(global, balance);
    global = {};
    steps_.end("balance");
    report.balance_spread = spread(plan::written_bytes(writes));
    steps_.begin();
    auto layout = plan::lay_out(std::move(writes), kAlignmentBytes);
    steps_.end("lay_out");
    report.plan_s = steps_.total();
    report.fullest_rank_bytes = memory.peak_bytes();
    report.steps_s = steps_.take();

    report.extents = layout.extents.size();
    return layout;
  }

 private:
  [[nodiscard]] plan::BalanceOptions balance_options() const {
    plan::BalanceOptions options;
    options.alignment_bytes = kAlignmentBytes;
    for (int rank = 0; rank < job_.ranks(); ++rank) options.node_of_rank.push_back(rank / kRanksOfANode);
    return options;
  }

  const SimulatedJob& job_;
  Steps steps_;
};

// As the loader goes about it on the rank that wants most: from the catalog that rank 0 sends to who reads what.
LoadPlanReport plan_load(const SimulatedJob& job, const Catalog& saved) {
  LoadPlanReport report;
  report.ranks = job.ranks();
  report.grid = job.grid().grid();
  RankSet readers(static_cast<std::size_t>(job.ranks()));
  std::iota(readers.begin(), readers.end(), 0);
  PeakMemory memory;
  Steps steps;
  auto packed = pack(saved);
  auto [distinct, fullest_rank] = job.all_requests(saved);
  report.distinct_requests = distinct.size();
  report.exchanged_bytes = packed.size();
  for (const auto& each : distinct) report.exchanged_bytes += each.bytes.size();
  memory.restart();
  steps.begin();

  const auto catalog = unpack_catalog(packed);
  packed = {};
  steps.end("unpack_catalog");
  const auto own = plan::pack_for_exchange(catalog, job.wants_of(fullest_rank, catalog));
  steps.end("own_wants");
  std::vector<plan::RankRequests> all_requests;
  for (const auto& each : distinct) all_requests.push_back({each.ranks, plan::unpack_requests(each.bytes)});
  steps.end("unpack_wishes");
  const auto units = plan::plan_reads(catalog, all_requests, readers);
  steps.end("plan_reads");
  report.plan_s = steps.total();
  report.fullest_rank_bytes = memory.peak_bytes();
  report.steps_s = steps.take();

  for (const auto& rank_requests : all_requests) report.requests += rank_requests.requests.size();
  report.units = units.size();
  std::vector<std::uint64_t> read(readers.size(), 0);
  for (const auto& unit : units) read[static_cast<std::size_t>(unit.reader)] += unit.bytes;
  report.read_spread = spread(read);
  return report;
}

nlohmann::json steps_json(const std::vector<std::pair<std::string, double>>& steps_s) {
  auto steps = nlohmann::json::object();
  for (const auto& [name, seconds] : steps_s) steps[name] = seconds;
  return steps;
}

}  // namespace

nlohmann::json LoadPlanReport::to_json() const {
  return {{"ranks", ranks},
          {"grid", to_string(grid)},
          {"plan_s", plan_s},
          {"fullest_rank_bytes", fullest_rank_bytes},
          {"exchanged_bytes", exchanged_bytes},
          {"distinct_requests", distinct_requests},
          {"wants", requests},
          {"units", units},
          {"read_spread", read_spread},
          {"steps_s", steps_json(steps_s)}};
}

nlohmann::json PlanScaleReport::to_json() const {
  auto of_loads = nlohmann::json::array();
  for (const auto& load : loads) of_loads.push_back(load.to_json());
  return {{"plan_s", plan_s},
          {"exchange_pack_s", exchange_pack_s},
          {"fullest_rank_bytes", fullest_rank_bytes},
          {"exchanged_bytes", exchanged_bytes},
          {"extents", extents},
          {"distinct_groups", distinct_groups},
          {"balance_spread", balance_spread},
          {"steps_s", steps_json(steps_s)},
          {"loads", of_loads}};
}

PlanScaleReport measure_plan(const PlanScaleOptions& options) {
  PlanScaleReport report;
  const SimulatedJob saving(options.ranks, options.tensors, options.grid, options.held);
  const auto catalog = Catalog{SaveMeasurement(saving).run(report), {}};
  if (options.loads.empty()) report.loads.push_back(plan_load(saving, catalog));
  for (const auto& [ranks, grid] : options.loads) {
    report.loads.push_back(plan_load(SimulatedJob(ranks, options.tensors, grid, options.held), catalog));
  }
  return report;
}

}  // namespace muster::bench
