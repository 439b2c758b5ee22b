#include "train/saves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "store/history.hpp"

namespace muster::train {
namespace {

constexpr double kBytesPerGb = 1e9;

std::string tag_of(std::int64_t step) { return fmt::format("step_{}", step); }

// What the first save may take: as much as the longest of the last ones of earlier starts, if there are any.
double first_save_s(const Options& options) {
  constexpr std::ptrdiff_t kSaves = 5;
  try {
    std::vector<double> seconds;
    for (const auto& save : store::read_history(options.directory)) {
      if (save.value("outcome", "") == "published") seconds.push_back(save.at("total_s").get<double>());
    }
    const auto last = seconds.end() - std::min(kSaves, std::ssize(seconds));
    const auto longest = std::max_element(last, seconds.end());
    if (longest != seconds.end()) return *longest;
  } catch (const std::exception&) {  // a note that nobody depends on
  }
  return options.first_save_seconds;
}

SavePolicyOptions policy_options(const Options& options, bool is_rank_0) {
  SavePolicyOptions policy;
  policy.every_steps = options.save_every;
  policy.every_minutes = options.save_minutes;
  policy.signals = options.signals;
  policy.before_job_end = !options.ignore_job_end;
  if (is_rank_0) policy.first_save_s = first_save_s(options);
  policy.saves_in_flight = options.async ? options.in_flight : 0;
  policy.mean_hours_between_failures = options.mtbf_hours;
  return policy;
}

}  // namespace

Saves::Saves(const mpi::CommView& comm, const Options& options, Progress& progress, Checkpointer& checkpoints,
             Describe describe, const StateSource& state)
    : comm_(comm),
      options_(options),
      progress_(progress),
      checkpoints_(checkpoints),
      describe_(std::move(describe)),
      state_(state),
      policy_(comm.handle(), policy_options(options, comm.rank() == 0)) {}

bool Saves::begin_step(std::int64_t finished_step) {
  finished_step_ = finished_step;
  extra_saves_ = 0;
  due_ = policy_.should_save(finished_step) || finished_step == options_.steps;
  return due_;
}

bool Saves::should_stop() const { return policy_.should_stop() && finished_step_ < options_.steps; }

void Saves::save_if_due() {
  if (!due_) return tell_of_ended();
  if (policy_.reason() != SaveReason::none && policy_.reason() != SaveReason::steps) {
    const auto left_s = policy_.job_left_s();
    progress_.say(fmt::format("saving after step {}: {}{}{}", finished_step_, policy_.why(),
                              left_s ? fmt::format("; {:.1f} s of the job are left", *left_s) : "",
                              should_stop() ? "; the run stops then" : ""));
  }
  auto save = describe_(tag_of(finished_step_));
  save.reason = policy_.reason() == SaveReason::none ? "the last step" : policy_.why();
  if (!options_.async) {
    tell(checkpoints_.save(state_, save));
    progress_.skip_time();
    return;
  }
  // The last one must not be left out.
  if (finished_step_ == options_.steps || should_stop()) save.async.when_busy = WhenBusy::wait;
  if (!save_in_background(save)) progress_.say("left out " + save.tag + ": the save before it is in flight still");
}

void Saves::requeue() {
  progress_.say("asking Slurm to start the job again");
  policy_.requeue();
}

bool Saves::save_in_background(const SaveOptions& save) {
  const double begun_s = running_.seconds();
  auto begun = checkpoints_.save_async(state_, save);
  tell_of_ended();
  if (begun.skipped()) return false;
  in_flight_.push_back({std::move(begun), begun_s});
  return true;
}

// As rank 0 says.
int Saves::saves_to_begin(SavePoint here) {
  tell_of_ended();
  SaveSupply::InFlight in_flight{.saves = static_cast<int>(in_flight_.size())};
  if (!in_flight_.empty()) in_flight.first_begun_s = in_flight_.front().begun_s;
  const int room = std::max(0, options_.in_flight - in_flight.saves);
  // As many as may be where nothing is known yet: they touch the memory that later ones are copied to.
  int missing = std::min(supply_.missing(here, running_.seconds(), in_flight).value_or(room), room);
  comm_.broadcast(std::as_writable_bytes(std::span(&missing, 1)), 0);
  return missing;
}

void Saves::keep_saving(SavePoint here) {
  if (!options_.always_saving || finished_step_ == 0) return;
  const auto turn = *options_.always_saving;
  const bool saves = turn == 0 || finished_step_ / turn % 2 == 1;
  if (!saves && finished_step_ % turn == 0) finish();  // of the turn before
  const int missing = saves_to_begin(here);
  if (!saves) return;
  for (int begun = 0; begun < missing; ++begun) {
    if (!save_in_background(describe_(fmt::format("{}.{}", tag_of(finished_step_), extra_saves_ + 1)))) return;
    ++extra_saves_;
  }
}

void Saves::wait_staged() {
  for (auto& save : in_flight_) save.handle.wait_staged();
}

void Saves::finish() {
  for (auto& save : in_flight_) tell_of(save, save.handle.wait());
  in_flight_.clear();
}

void Saves::tell_of(const InFlight& save, const SaveReport& report) {
  // total_s leaves out how long the call waited for room, or for the others to agree.
  supply_.note_save(save.begun_s, save.begun_s + report.total_s);
  tell(report);
}

void Saves::tell(const SaveReport& report) {
  policy_.note_save(report);
  const auto bytes = static_cast<double>(report.file_bytes);
  auto line = fmt::format("saved {}: {:.2f} MB in {:.3f} s, {:.3f} GB/s", report.tag, bytes / kBytesPerMb,
                          report.total_s, report.total_s > 0 ? bytes / kBytesPerGb / report.total_s : 0);
  if (options_.async) line += fmt::format(", training waited {:.1f} ms", report.blocked_s * 1000);
  progress_.say(line);
}

// Of a save in the background, once it has ended; failures are thrown by the next save.
void Saves::tell_of_ended() {
  while (!in_flight_.empty() && in_flight_.front().handle.done()) {
    const auto& first = in_flight_.front();
    const auto report = first.handle.report();
    if (!report.published) return;
    tell_of(first, report);
    in_flight_.pop_front();
  }
}

}  // namespace muster::train
