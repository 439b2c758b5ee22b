#include "bench/plan_scale.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "bench/peak_memory.hpp"
#include "bench/simulated_job.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"
#include "plan/portions.hpp"
#include "plan/read_plan.hpp"

namespace muster::bench {

namespace {

constexpr int kRanksOfANode = 8;
constexpr std::uint64_t kAlignmentBytes = 4096;

class Measurement {
 public:
  explicit Measurement(const PlanScaleOptions& options) : job_(options) {}

  PlanScaleReport run() {
    const auto layout = plan_save();
    plan_load(layout);
    return std::move(report_);
  }

 private:
  double end_step(const char* name) {
    const auto seconds = watch_.lap();
    report_.steps_s.emplace_back(name, seconds);
    return seconds;
  }

  // As the saver goes about it on every rank.
  Layout plan_save() {
    const plan::BalanceOptions balance = balance_options();
    PeakMemory memory;
    const auto state = job_.state_of(0);
    auto sayings = job_.sayings();
    report_.distinct_voices = sayings.size();
    for (const auto& saying : sayings) report_.exchanged_bytes += saying.bytes.size();
    memory.restart();
    watch_.lap();

    std::uint64_t fingerprint = 0;
    for (const auto& portion : plan::pack_portions(plan::describe(state))) fingerprint ^= hash_bytes(portion);
    if (fingerprint != 0) report_.exchange_pack_s += end_step("describe_and_pack");
    auto global = merged(std::move(sayings));
    auto writes = plan::balance(global, balance);
    global = {};
    end_step("balance");
    auto layout = plan::lay_out(writes, kAlignmentBytes);
    end_step("lay_out");
    for (const auto& [name, seconds] : report_.steps_s) report_.plan_s += seconds;
    report_.fullest_rank_bytes = memory.peak_bytes();

    report_.pieces = writes.pieces.size();
    report_.extents = layout.extents.size();
    report_.balance_spread = spread(plan::written_bytes(writes));
    return layout;
  }

  GlobalState merged(std::vector<SimulatedSaying> sayings) {
    plan::Merger merger(job_.ranks());
    for (auto& saying : sayings) merger.add(std::move(saying.ranks), plan::unpack(saying.bytes));
    sayings = {};
    report_.exchange_pack_s += end_step("unpack_and_add");
    auto global = merger.finish();
    end_step("merge");
    return global;
  }

  void plan_load(const Layout& layout) {
    RankSet readers(static_cast<std::size_t>(job_.ranks()));
    std::iota(readers.begin(), readers.end(), 0);
    PeakMemory memory;
    const auto catalog = catalog_of(layout);
    const auto wishes = job_.wishes(catalog);
    memory.restart();
    watch_.lap();
    const auto units = plan::plan_reads(catalog, wishes, readers);
    report_.read_plan_s = end_step("plan_reads");
    report_.read_plan_bytes = memory.peak_bytes();
    std::vector<std::uint64_t> read(readers.size(), 0);
    for (const auto& unit : units) read[static_cast<std::size_t>(unit.reader)] += unit.bytes;
    report_.read_spread = spread(read);
  }

  [[nodiscard]] plan::BalanceOptions balance_options() const {
    plan::BalanceOptions options;
    options.alignment_bytes = kAlignmentBytes;
    for (int rank = 0; rank < job_.ranks(); ++rank) options.node_of_rank.push_back(rank / kRanksOfANode);
    return options;
  }

  static double spread(const std::vector<std::uint64_t>& bytes) {
    const auto total = std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
    if (total == 0) return 1;
    const auto mean = static_cast<double>(total) / static_cast<double>(bytes.size());
    return static_cast<double>(*std::max_element(bytes.begin(), bytes.end())) / mean;
  }

  SimulatedJob job_;
  PlanScaleReport report_;
  Stopwatch watch_;
};

}  // namespace

nlohmann::json PlanScaleReport::to_json() const {
  auto steps = nlohmann::json::object();
  for (const auto& [name, seconds] : steps_s) steps[name] = seconds;
  return {{"plan_s", plan_s},
          {"exchange_pack_s", exchange_pack_s},
          {"fullest_rank_bytes", fullest_rank_bytes},
          {"exchanged_bytes", exchanged_bytes},
          {"extents", extents},
          {"pieces", pieces},
          {"distinct_voices", distinct_voices},
          {"balance_spread", balance_spread},
          {"read_plan_s", read_plan_s},
          {"read_plan_bytes", read_plan_bytes},
          {"read_spread", read_spread},
          {"steps_s", steps}};
}

PlanScaleReport measure_plan(const PlanScaleOptions& options) { return Measurement(options).run(); }

}  // namespace muster::bench
