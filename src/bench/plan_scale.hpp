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

struct PlanScaleOptions {
  int ranks = 16384;
  std::uint64_t tensors = 3000;  // of the model
  Grid grid = {};
  HeldMoments held = HeldMoments::replicated;
};

// Of a first save, or of the load of its file by the same ranks.
struct PlanReport {
  std::vector<std::pair<std::string, double>> steps_s;
  std::uint64_t fullest_rank_bytes = 0;
  std::uint64_t exchanged_bytes = 0;  // that every rank receives: descriptions, or the catalog and what all want
  std::uint64_t distinct = 0;         // of the descriptions, or of the lists of what ranks want
  std::uint64_t extents = 0;          // that are written, or read in one
  double spread = 0;                  // bytes of the rank that writes or reads most, over the mean
};

struct PlanScaleReport {
  PlanReport save;
  PlanReport load;
  // By "save" and "load"; each also with "plan_s", the sum of its steps.
  [[nodiscard]] nlohmann::json to_json() const;
};

// Throws Error{usage} where a grid does not fit its ranks.
PlanScaleReport measure_plan(const PlanScaleOptions& options);

}  // namespace muster::bench
