#pragma once
// What planning costs the fullest rank of a job that is larger than any machine at hand: the real planning functions,
// on the descriptions of simulated ranks, in one process.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace muster::bench {

struct PlanScaleOptions {
  int ranks = 16384;
  std::uint64_t tensors = 3000;  // of the model
  int tensor_parallel = 1;
  int pipeline = 1;
  int data = 0;        // 0: as many as the ranks allow
  bool zero1 = false;  // two moments of every tensor, shared out in flat ranges over the data-parallel ranks
};

struct PlanScaleReport {
  double plan_s = 0;           // of a first save, all of steps_s but the messages and the load
  double exchange_pack_s = 0;  // the part of plan_s that packs and unpacks descriptions
  std::uint64_t fullest_rank_bytes = 0;
  std::uint64_t exchanged_bytes = 0;  // that every rank receives
  std::uint64_t extents = 0;
  std::uint64_t pieces = 0;
  std::uint64_t distinct_voices = 0;
  double balance_spread = 0;  // bytes of the rank that writes most, over the mean
  double read_plan_s = 0;     // of a load by the same ranks
  std::uint64_t read_plan_bytes = 0;
  double read_spread = 0;
  std::vector<std::pair<std::string, double>> steps_s;
  [[nodiscard]] nlohmann::json to_json() const;
};

// Throws Error{usage} where the grid does not fit the ranks, or the tensors the grid.
PlanScaleReport measure_plan(const PlanScaleOptions& options);

}  // namespace muster::bench
