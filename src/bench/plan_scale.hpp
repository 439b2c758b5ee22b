#pragma once
// How long it takes to plan a save of a large job, and how even the plan is. No MPI, no I/O.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace muster::bench {

struct PlanScaleOptions {
  int ranks = 1;
  std::uint64_t tensors = 1;
  int tensor_parallel = 1;
  int pipeline = 1;
  int data = 1;
  bool zero1 = false;
};

struct PlanScaleReport {
  double plan_s = 0;
  std::uint64_t fullest_rank_bytes = 0;
  std::uint64_t extents = 0;
  std::vector<std::pair<std::string, double>> steps_s;
  [[nodiscard]] nlohmann::json to_json() const;
};

PlanScaleReport measure_plan(const PlanScaleOptions& options);

}  // namespace muster::bench
