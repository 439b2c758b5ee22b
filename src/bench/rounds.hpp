#pragma once
// Measuring several things in turns, with the raw limit before and after each. Every round begins with another thing.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/contender.hpp"
#include "bench/limit.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

// All samples of one contender, on rank 0. Beside what the contender measured each has "limit_before_s",
// "limit_after_s" and "ratio", the speed relative to the limit.
struct ThingResult {
  std::string name;
  nlohmann::json first;                 // the very first, without a plan to reuse and without a limit
  std::vector<nlohmann::json> samples;  // of the measured rounds
};

struct RoundsResult {
  std::vector<std::string> limit_kinds;
  std::vector<std::vector<double>> calibration_s;  // of the warm-up, by kind
  std::size_t limit_kind = 0;                      // the fastest by its median in the warm-up
  std::vector<double> limit_s;                     // in the measured rounds
  std::vector<ThingResult> things;
};

// Collective. A warm-up and so many rounds. Before each thing all ranks together touch that much free memory (see
// touch_free_memory). Rank 0 prints a line a round to standard error.
RoundsResult run_rounds(const mpi::CommView& comm, Limit& limit, const Contenders& contenders, int rounds,
                        std::uint64_t touched_bytes);

}  // namespace muster::bench
