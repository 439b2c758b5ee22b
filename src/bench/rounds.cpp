#include "bench/rounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "bench/free_memory.hpp"
#include "bench/statistics.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

constexpr int kCalibrationsPerRound = 3;

class Rounds {
 public:
  Rounds(const mpi::CommView& comm, Limit* limit, const Contenders& contenders, const RoundsOptions& options,
         const std::function<void(const std::string&)>& say)
      : comm_(comm), limit_(limit), contenders_(contenders), options_(options), say_(say) {
    if (limit_ != nullptr) {
      result_.limit_kinds = limit_->kinds();
      result_.calibration_s.resize(limit_->kinds().size());
    }
    for (const auto& contender : contenders_) result_.things.push_back({.name = contender->name()});
  }

  RoundsResult run() {
    for (int round = 0; round < options_.warmup; ++round) warm_up(round);
    for (int round = 0; round < options_.rounds; ++round) measure(round);
    return std::move(result_);
  }

 private:
  void say(const std::string& line) const {
    if (comm_.rank() == 0) say_(line);
  }

  Sample run_one(Contender& contender, int round, std::vector<DeviceCounters>& device) {
    mpi::run_agreed(comm_, "prepare",
                    [&] { touch_free_memory(options_.touched_bytes / static_cast<std::uint64_t>(comm_.size())); });
    const auto before = read_device_counters(options_.directory);
    auto sample = contender.run_round(round);
    if (const auto after = read_device_counters(options_.directory); before && after) {
      device.push_back(*after - *before);
    }
    contender.clean_up();
    return sample;
  }

  void warm_up(int round) {
    say(fmt::format("warm-up {} of {}", round + 1, options_.warmup));
    if (limit_ != nullptr) {
      // In turns, so that a slow minute meets all kinds.
      for (int turn = 0; turn < kCalibrationsPerRound; ++turn) {
        for (std::size_t kind = 0; kind < result_.calibration_s.size(); ++kind) {
          result_.calibration_s[kind].push_back(limit_->measure(kind));
        }
      }
      std::size_t& best = result_.limit_kind;
      for (std::size_t kind = 0; kind < result_.calibration_s.size(); ++kind) {
        if (median(result_.calibration_s[kind]) < median(result_.calibration_s[best])) best = kind;
      }
    }
    for (std::size_t i = 0; i < contenders_.size(); ++i) {
      std::vector<DeviceCounters> ignored;
      auto sample = run_one(*contenders_[i], round, ignored);
      if (round == 0) result_.things[i].first = std::move(sample);
    }
  }

  double measure_limit() {
    double seconds = std::numeric_limits<double>::max();
    if (options_.limit_all) {
      for (std::size_t kind = 0; kind < limit_->kinds().size(); ++kind)
        seconds = std::min(seconds, limit_->measure(kind));
    } else {
      seconds = limit_->measure(result_.limit_kind);
    }
    result_.limit_s.push_back(seconds);
    return seconds;
  }

  void measure(int round) {
    double limit_s = limit_ != nullptr ? measure_limit() : 0;
    std::string line = fmt::format("round {} of {}:", round + 1, options_.rounds);
    if (limit_ != nullptr) line += fmt::format(" limit {:.3f} s", limit_s);
    for (std::size_t turn = 0; turn < contenders_.size(); ++turn) {
      const auto i = (turn + static_cast<std::size_t>(round)) % contenders_.size();
      auto& thing = result_.things[i];
      thing.samples.push_back(run_one(*contenders_[i], options_.warmup + round, thing.device));
      const double seconds = thing.samples.back().seconds;
      line += fmt::format("{} {} {:.3f} s", line.ends_with(':') ? "" : ",", thing.name, seconds);
      if (limit_ == nullptr) continue;
      thing.limit_before_s.push_back(limit_s);
      limit_s = measure_limit();
      thing.limit_after_s.push_back(limit_s);
      line += fmt::format(" ({:.2f} of the limit)", relative_speed(thing.limit_before_s.back(), limit_s, seconds));
    }
    say(line);
  }

  const mpi::CommView& comm_;
  Limit* limit_;
  const Contenders& contenders_;
  const RoundsOptions& options_;
  const std::function<void(const std::string&)>& say_;
  RoundsResult result_;
};

}  // namespace

RoundsResult run_rounds(const mpi::CommView& comm, Limit* limit, const Contenders& contenders,
                        const RoundsOptions& options, const std::function<void(const std::string&)>& say) {
  return Rounds(comm, limit, contenders, options, say).run();
}

}  // namespace muster::bench
