#pragma once
// What planning costs the fullest rank of a job that is larger than any machine at hand: the real planning functions,
// on the descriptions of simulated ranks, in one process.

#include <cstdint>
#include <muster/grid.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench/simulated_job.hpp"

namespace muster::bench {

// Who loads what was saved; each in its own part of the grid.
struct PlannedLoad {
  int ranks = 1;
  Grid grid = {};
};

struct PlanScaleOptions {
  int ranks = 16384;
  std::uint64_t tensors = 3000;  // of the model
  Grid grid = {};
  HeldMoments held = HeldMoments::replicated;
  std::vector<PlannedLoad> loads = {};  // none: by those that saved
};

struct LoadPlanReport {
  int ranks = 0;
  Grid grid;
  double plan_s = 0;  // all of steps_s
  std::uint64_t fullest_rank_bytes = 0;
  std::uint64_t exchanged_bytes = 0;  // that every rank receives: the catalog, then what all want
  std::uint64_t distinct_requests = 0;
  std::uint64_t requests = 0;  // ranges, of all distinct requests
  std::uint64_t units = 0;
  double read_spread = 0;  // bytes of the rank that reads most, over the mean
  std::vector<std::pair<std::string, double>> steps_s;
  [[nodiscard]] nlohmann::json to_json() const;
};

struct PlanScaleReport {
  double plan_s = 0;           // of a first save, all of steps_s
  double exchange_pack_s = 0;  // the part of plan_s that packs and unpacks descriptions
  std::uint64_t fullest_rank_bytes = 0;
  std::uint64_t exchanged_bytes = 0;  // that every rank receives
  std::uint64_t extents = 0;
  std::uint64_t distinct_groups = 0;
  double balance_spread = 0;  // bytes of the rank that writes most, over the mean
  std::vector<std::pair<std::string, double>> steps_s;
  std::vector<LoadPlanReport> loads;
  [[nodiscard]] nlohmann::json to_json() const;
};

// Throws Error{usage} where a grid does not fit its ranks.
PlanScaleReport measure_plan(const PlanScaleOptions& options);

}  // namespace muster::bench
