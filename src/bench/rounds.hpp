#pragma once
// Measuring several things in turns, with the raw limit before and after each. Every round begins with another thing.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/contender.hpp"
#include "bench/device_counters.hpp"
#include "bench/limit.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

struct RoundsOptions {
  int rounds = 7;
  int warmup = 1;          // at least 1: what comes first makes plans and touches memory
  bool limit_all = false;  // measure all kinds of the limit each time and take the fastest
  // Free memory to touch before each thing, all ranks together; see touch_free_memory.
  std::uint64_t touched_bytes = 0;
  std::filesystem::path directory = {};  // on the device that is watched
};

// All samples of one contender. The limits are empty where none was measured.
struct ThingResult {
  std::string name;
  Sample first = {};                 // the very first, without a plan to reuse
  std::vector<Sample> samples = {};  // of the measured rounds
  std::vector<double> limit_before_s = {};
  std::vector<double> limit_after_s = {};
  std::vector<DeviceCounters> device = {};  // during each sample; empty where no device could be watched
};

struct RoundsResult {
  std::vector<std::string> limit_kinds;            // empty where no limit was measured
  std::vector<std::vector<double>> calibration_s;  // of the warm-up, by kind
  std::size_t limit_kind = 0;                      // the fastest by its median in the warm-up
  std::vector<double> limit_s;                     // in the measured rounds
  std::vector<ThingResult> things;
};

using Contenders = std::vector<std::unique_ptr<Contender>>;

// Collective. limit: null where it is not wanted. say: a line for whoever waits, called on rank 0.
RoundsResult run_rounds(const mpi::CommView& comm, Limit* limit, const Contenders& contenders,
                        const RoundsOptions& options, const std::function<void(const std::string&)>& say);

}  // namespace muster::bench
