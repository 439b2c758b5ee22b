#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <muster/error.hpp>
#include <muster/policy.hpp>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "policy/job_end.hpp"
#include "policy/requeue_job.hpp"
#include "policy/save_clock.hpp"
#include "policy/signal_watch.hpp"
#include "policy/stepped_vote.hpp"

namespace muster {

namespace {

constexpr double kNsPerS = 1e9;
constexpr double kSPerYear = 366 * 86400.0;
constexpr double kTimeoutS = 1800;  // to agree on the options
constexpr double kSPerHour = 3600;
constexpr double kSPerMinute = 60;
constexpr double kMsPerS = 1000;

// A clock that nobody sets.
double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void require(bool holds, const char* what) {
  if (!holds) throw Error(ErrorKind::usage, std::string("SavePolicyOptions: ") + what);
}

bool is_number(double value, double least) { return std::isfinite(value) && value >= least; }

void require_valid(const SavePolicyOptions& options) {
  require(options.every_steps >= 0, "every_steps must be 0 or more");
  require(is_number(options.every_minutes, 0), "every_minutes must be 0 or more");
  require(is_number(options.end_margin_s, 0), "end_margin_s must be 0 or more");
  require(is_number(options.first_save_s, 0), "first_save_s must be 0 or more");
  require(is_number(options.mean_hours_between_failures, 0), "mean_hours_between_failures must be 0 or more");
  require(is_number(options.node_mean_hours_between_failures, 0), "node_mean_hours_between_failures must be 0 or more");
  require(options.max_save_share > 0 && options.max_save_share <= 1, "max_save_share must be above 0 and at most 1");
  require(options.warn_after_s > 0 && options.timeout_s > 0, "warn_after_s and timeout_s must be above 0");
  require(options.saves_in_flight >= 0, "saves_in_flight must be 0 or more");
  require(!options.job_end_unix_s || std::isfinite(*options.job_end_unix_s), "job_end_unix_s must be a number");
}

// All that ranks must have in common.
std::string text_of(const SavePolicyOptions& options) {
  auto text = fmt::format("{} {} {} {} {} {} {} {} {} {}", options.every_steps, options.every_minutes,
                          options.before_job_end, options.end_margin_s, options.saves_in_flight,
                          options.mean_hours_between_failures, options.node_mean_hours_between_failures,
                          options.max_save_share, options.warn_after_s, options.timeout_s);
  for (const auto& [signal, action] : options.signals) text += fmt::format(" {}:{}", signal, static_cast<int>(action));
  return text;
}

// Collective. The options, where they make sense and all ranks pass the same.
SavePolicyOptions agreed(MPI_Comm comm, SavePolicyOptions options) {
  mpi::require_usable(comm);
  const auto owner = mpi::Comm::duplicate(comm);
  const auto all = owner.view(kTimeoutS);
  mpi::run_agreed(all, "policy", [&] { require_valid(options); });
  const auto hash = hash_bytes(as_bytes(text_of(options)));
  std::array<std::uint64_t, 2> ends{hash, ~hash};
  all.all_min(ends);
  mpi::run_agreed(all, "policy", [&] {
    if (ends[0] != ~ends[1]) throw Error(ErrorKind::mismatch, "SavePolicyOptions: the ranks pass different ones");
  });
  return options;
}

// Seconds from now to the job's end, if that makes sense.
std::optional<double> seconds_left(std::optional<double> end_unix_s) {
  if (!end_unix_s) return std::nullopt;
  const double left_s = *end_unix_s - static_cast<double>(unix_ns()) / kNsPerS;
  if (left_s > 0 && left_s < kSPerYear) return left_s;
  log_warning(fmt::format("the job is said to end at {:.0f} (seconds since 1970), which {}: no save is made before it",
                          *end_unix_s, left_s > 0 ? "is more than a year off" : "has passed"));
  return std::nullopt;
}

std::vector<int> numbers_of(const std::map<int, OnSignal>& signals) {
  std::vector<int> numbers;
  for (const auto& [number, action] : signals) numbers.push_back(number);
  return numbers;
}

std::string time_text(double seconds) {
  if (seconds < 2 * kSPerMinute) return fmt::format("{:.1f} s", seconds);
  return fmt::format("{:.1f} min", seconds / kSPerMinute);
}

std::int64_t milliseconds(double seconds) { return std::llround(seconds * kMsPerS); }

}  // namespace

std::string_view name(SaveReason reason) {
  switch (reason) {
    case SaveReason::none:
      return "none";
    case SaveReason::steps:
      return "steps";
    case SaveReason::minutes:
      return "minutes";
    case SaveReason::failures:
      return "failures";
    case SaveReason::signal:
      return "signal";
    case SaveReason::job_end:
      return "job_end";
  }
  return "unknown";
}

class SavePolicy::Impl {
 public:
  Impl(MPI_Comm comm, SavePolicyOptions options)
      : options_(agreed(comm, std::move(options))), vote_(comm, options_.warn_after_s, options_.timeout_s) {
    const auto nodes = mpi::node_of_ranks(vote_.comm());
    mpi::run_agreed(vote_.comm(), "policy", [&] {
      signals_.emplace(numbers_of(options_.signals));
      if (vote_.comm().rank() == 0) start_clock(1 + *std::max_element(nodes.begin(), nodes.end()));
    });
  }

  bool should_save(std::int64_t step) {
    if (clock_) clock_->note_call(now_s());
    const auto heard = vote_.finish();
    reason_ = SaveReason::none;
    why_.clear();
    bool same_step = true;
    if (heard) {
      same_step = heard->step == -heard->minus_step;
      listen_to(*heard);
    }
    if (!first_step_) first_step_ = last_saved_step_ = step - 1;
    if (reason_ == SaveReason::none && options_.every_steps > 0 &&
        multiple_below(step) > multiple_below(last_saved_step_)) {
      reason_ = SaveReason::steps;
      why_ = fmt::format("{} steps are done, and every {} are saved", step, options_.every_steps);
    }
    if (reason_ != SaveReason::none) {
      last_saved_step_ = step;
      if (clock_) clock_->note_decision(now_s());
    }
    vote_.start(ballot(step));
    if (!same_step) {
      throw Error(ErrorKind::mismatch, fmt::format("should_save: the ranks are at different steps, from {} to {}",
                                                   -heard->minus_step, heard->step));
    }
    return reason_ != SaveReason::none;
  }

  void note_save(double save_s, double blocked_s) {
    if (clock_) clock_->note_save(now_s(), save_s, blocked_s);
  }

  [[noreturn]] void requeue() {
    const auto& comm = vote_.comm();
    std::array<std::byte, 1> not_wanted{};
    if (comm.rank() == 0) not_wanted[0] = std::byte{policy::requeue_job() == policy::Requeue::not_wanted};
    try {
      static_cast<void>(vote_.finish());
      // A rank that ends earlier may take the others with it.
      comm.broadcast(not_wanted, 0);
      comm.barrier();
      MPI_Finalize();
    } catch (const std::exception& error) {
      // Ranks are missing, and MPI_Finalize would wait for them.
      log_warning(error.what());
      std::fflush(nullptr);
      std::_Exit(kRequeueExitStatus);
    }
    std::exit(not_wanted[0] == std::byte{} ? kRequeueExitStatus : kStoppedExitStatus);
  }

  SaveReason reason_ = SaveReason::none;
  std::string why_;
  bool should_stop_ = false;
  std::optional<policy::SaveClock> clock_;  // on rank 0

 private:
  void start_clock(int nodes) {
    double mean_hours = options_.mean_hours_between_failures;
    if (mean_hours == 0) mean_hours = options_.node_mean_hours_between_failures / nodes;
    policy::SaveClock::Settings settings;
    settings.every_s = options_.every_minutes * kSPerMinute;
    settings.mean_time_between_failures_s = mean_hours * kSPerHour;
    settings.max_save_share = options_.max_save_share;
    settings.end_margin_s = options_.end_margin_s;
    settings.first_save_s = options_.first_save_s;
    settings.saves_in_flight = options_.saves_in_flight;
    const double begin_s = now_s();
    if (options_.before_job_end) {
      const auto left_s = seconds_left(options_.job_end_unix_s ? options_.job_end_unix_s : policy::job_end_unix_s());
      if (left_s) settings.end_s = now_s() + *left_s;
    }
    clock_.emplace(settings, begin_s);
  }

  // Rounded down, below 0 too.
  [[nodiscard]] std::int64_t multiple_below(std::int64_t step) const {
    const auto quotient = step / options_.every_steps;
    return step % options_.every_steps < 0 ? quotient - 1 : quotient;
  }

  policy::Ballot ballot(std::int64_t step) {
    policy::Ballot ballot{.step = step, .minus_step = -step};
    for (const int number : signals_->take()) {
      const bool stops = options_.signals.at(number) == OnSignal::save_and_stop;
      (stops ? ballot.stop_signal : ballot.save_signal) = policy::signal_at(number, vote_.comm().rank());
    }
    if (!clock_) return ballot;
    const auto due = clock_->due(now_s());
    if (due.reason == SaveReason::none || (due.reason == SaveReason::job_end && should_stop_)) return ballot;
    ballot.clock_reason = static_cast<std::int64_t>(due.reason);
    ballot.clock_first_ms = milliseconds(due.first_s);
    ballot.clock_second_ms = milliseconds(due.second_s);
    return ballot;
  }

  // The same on all ranks: all that it looks at is.
  void listen_to(const policy::Ballot& heard) {
    const auto told = [](std::int64_t signal) {
      return fmt::format("{} came to rank {}", policy::signal_name(policy::signal_of(signal)), policy::rank_of(signal));
    };
    const bool by_clock = heard.clock_reason != policy::Ballot::kNothing;
    const double first_s = static_cast<double>(heard.clock_first_ms) / kMsPerS;
    const double second_s = static_cast<double>(heard.clock_second_ms) / kMsPerS;
    const auto signal = is_new(heard.save_signal) ? heard.save_signal : policy::Ballot::kNothing;
    if (heard.stop_signal != policy::Ballot::kNothing && !should_stop_) {
      decide(SaveReason::signal, told(heard.stop_signal));
      should_stop_ = true;
    } else if (by_clock && heard.clock_reason == static_cast<std::int64_t>(SaveReason::job_end) && !should_stop_) {
      decide(SaveReason::job_end,
             fmt::format("the job ends in {}, and saves took up to {}", time_text(first_s), time_text(second_s)));
      should_stop_ = true;
    } else if (signal != policy::Ballot::kNothing) {
      decide(SaveReason::signal, told(signal));
    } else if (by_clock && heard.clock_reason != static_cast<std::int64_t>(SaveReason::job_end)) {
      decide(static_cast<SaveReason>(heard.clock_reason),
             fmt::format("{} since the last save, and the interval is {}", time_text(first_s), time_text(second_s)));
    }
    last_signal_ = signal;
  }

  // One event that reaches ranks on both sides of a call is heard in two votes in a row, and never in a third.
  [[nodiscard]] bool is_new(std::int64_t signal) const {
    return signal != policy::Ballot::kNothing &&
           (last_signal_ == policy::Ballot::kNothing || policy::signal_of(signal) != policy::signal_of(last_signal_));
  }

  void decide(SaveReason reason, std::string why) {
    reason_ = reason;
    why_ = std::move(why);
  }

  const SavePolicyOptions options_;
  policy::SteppedVote vote_;
  std::optional<policy::SignalWatch> signals_;
  std::int64_t last_signal_ = policy::Ballot::kNothing;  // the new one that the call before heard
  std::optional<std::int64_t> first_step_;
  std::int64_t last_saved_step_ = 0;
};

SavePolicy::SavePolicy(MPI_Comm comm, SavePolicyOptions options)
    : impl_(std::make_unique<Impl>(comm, std::move(options))) {}
SavePolicy::~SavePolicy() = default;
SavePolicy::SavePolicy(SavePolicy&&) noexcept = default;
SavePolicy& SavePolicy::operator=(SavePolicy&&) noexcept = default;

bool SavePolicy::should_save(std::int64_t step) { return impl_->should_save(step); }
SaveReason SavePolicy::reason() const { return impl_->reason_; }
const std::string& SavePolicy::why() const { return impl_->why_; }
bool SavePolicy::should_stop() const { return impl_->should_stop_; }

void SavePolicy::note_save(const SaveReport& report) {
  if (!report.skipped) note_save(report.total_s, report.blocked_s);
}
void SavePolicy::note_save(double save_s, double blocked_s) { impl_->note_save(save_s, blocked_s); }

std::optional<double> SavePolicy::job_left_s() const {
  return impl_->clock_ ? impl_->clock_->left_s(now_s()) : std::nullopt;
}

void SavePolicy::requeue() { impl_->requeue(); }

}  // namespace muster
