#include "bench/rounds.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "bench/memory.hpp"
#include "bench/ranks.hpp"
#include "bench/statistics.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

RoundsResult run_rounds(const mpi::CommView& comm, Limit& limit, const Contenders& contenders, int rounds,
                        std::uint64_t touched_bytes) {
  constexpr int kCalibrations = 3;
  RoundsResult result{.limit_kinds = limit.kinds(), .calibration_s = {}, .limit_s = {}, .things = {}};
  const auto say = [&](const std::string& line) {
    if (comm.rank() == 0) fmt::print(stderr, "{}\n", line);
  };
  const auto run_one = [&](Contender& contender, int round) {
    mpi::run_agreed(comm, "prepare",
                    [&] { touch_free_memory(touched_bytes / static_cast<std::uint64_t>(comm.size())); });
    auto sample = max_over_ranks(comm, contender.run_round(round));
    contender.clean_up();
    return sample;
  };
  const auto measure_limit = [&] { return result.limit_s.emplace_back(limit.measure(result.limit_kind)); };

  say("warm-up");
  auto& tried = result.calibration_s;
  tried.resize(limit.kinds().size());
  // In turns, so that a slow minute meets all kinds.
  for (int turn = 0; turn < kCalibrations; ++turn) {
    for (std::size_t kind = 0; kind < tried.size(); ++kind) tried[kind].push_back(limit.measure(kind));
  }
  for (std::size_t kind = 0; kind < tried.size(); ++kind) {
    if (median(tried[kind]) < median(tried[result.limit_kind])) result.limit_kind = kind;
  }
  for (const auto& contender : contenders) {
    result.things.push_back({.name = contender->name(), .first = run_one(*contender, 0), .samples = {}});
  }

  for (int round = 1; round <= rounds; ++round) {
    double limit_s = measure_limit();
    auto line = fmt::format("round {} of {}: limit {:.3f} s", round, rounds, limit_s);
    for (std::size_t turn = 0; turn < contenders.size(); ++turn) {
      const auto i = (turn + static_cast<std::size_t>(round) - 1) % contenders.size();
      auto sample = run_one(*contenders[i], round);
      sample["limit_before_s"] = limit_s;
      sample["limit_after_s"] = limit_s = measure_limit();
      if (comm.rank() != 0) continue;
      const auto seconds = sample.at("seconds").get<double>();
      sample["ratio"] = relative_speed(sample["limit_before_s"], limit_s, seconds);
      line += fmt::format(", {} {:.3f} s ({:.2f} of the limit)", result.things[i].name, seconds,
                          sample["ratio"].get<double>());
      result.things[i].samples.push_back(std::move(sample));
    }
    say(line);
  }
  return result;
}

}  // namespace muster::bench
