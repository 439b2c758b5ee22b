#pragma once
// When to save and when to stop: the same answer on all ranks, with its reason, for any training loop.
//
//     muster::SavePolicy policy(comm, {.every_minutes = 30});
//     for (step = first; step <= last; ++step) {
//       train(step);
//       if (policy.should_save(step)) policy.note_save(muster::save_checkpoint(comm, dir, args_of(step)));
//       if (policy.should_stop()) break;
//     }
//     if (policy.should_stop()) policy.requeue();
//
// What the ranks learn of by themselves (signals, rank 0's clock) travels in one small non-blocking collective a call,
// which the next call finishes: such an answer is one call late, and a call waits for no more than that all ranks have
// made the one before. Thread safety: one thread at a time; signals may come to any.

#include <mpi.h>

#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <muster/checkpoint.hpp>
#include <muster/export.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace MUSTER_EXPORT muster {

enum class OnSignal : std::uint8_t {
  save,           // and go on
  save_and_stop,  // should_stop() is true from then on
};

// The same on all ranks (Error{mismatch} else), but for job_end_unix_s and first_save_s, of which rank 0's count.
struct SavePolicyOptions {
  // At each multiple of so many steps; 0: not by steps.
  std::int64_t every_steps = 0;
  // When so many minutes have passed since the last save was called for, by rank 0's clock; 0: not by time.
  double every_minutes = 0;
  // Signals that may come to any rank. Their handlers set a flag and call the handler that was there before; they are
  // taken off with the last SavePolicy.
  std::map<int, OnSignal> signals = {
      {SIGUSR1, OnSignal::save_and_stop}, {SIGTERM, OnSignal::save_and_stop}, {SIGUSR2, OnSignal::save}};

  // Save, and stop, as late before the job's end as a save fits that takes no more than 1.5 x the longest of the last
  // five: where 2 x the longest step + as much + end_margin_s are left. Until the first save is noted (note_save),
  // first_save_s stands for it. end_margin_s and first_save_s are taken as at
  // most a tenth of the time that the job had left at the start.
  bool before_job_end = true;
  // So many background saves may be in flight when one is called for, and be waited for by it: time for them is kept
  // free, too.
  int saves_in_flight = 0;
  // Seconds since 1970. Unset: the environment's MUSTER_JOB_END or SLURM_JOB_END_TIME (the same unit), else rank 0 asks
  // Slurm once, by squeue. A job without a limit has no end; an end that has passed, or is more than a year off, is
  // warned of and taken for none.
  std::optional<double> job_end_unix_s = std::nullopt;
  double end_margin_s = 30;
  double first_save_s = 60;

  // Mean time between failures of the whole job, in hours; or of one node, which is divided by the number of nodes.
  // 0: unknown. Known, saves are made at the interval that loses the least time (see save_interval_s), and
  // every_minutes is an upper bound of it.
  double mean_hours_between_failures = 0;
  double node_mean_hours_between_failures = 0;
  // Then at most this share of the run time goes into waiting for saves, in (0, 1].
  double max_save_share = 0.05;

  // A rank that waits so long in should_save for others that do not call it says on the log which.
  double warn_after_s = 60;
  // And then gives up with Error{timeout}.
  double timeout_s = 1800;
};

enum class SaveReason : std::uint8_t {
  none,
  steps,     // every_steps
  minutes,   // every_minutes
  failures,  // the interval of the mean time between failures
  signal,
  job_end,
};
// "steps", "minutes", ... as written above.
std::string_view name(SaveReason reason);

// Local, pure. Seconds from one save to the next that lose the least time to saves and to steps done again after a
// failure: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", 2006, eq. 37
// (which begins with Young's sqrt(2 C M)); not less than makes saves max_save_share of the time.
// save_s: what the training loop waits for a save; both in seconds, > 0.
double save_interval_s(double save_s, double mean_time_between_failures_s, double max_save_share);

// With what requeue() ends a program. Slurm starts such a job again where its RequeueExit names the number.
inline constexpr int kRequeueExitStatus = 85;
// The same where the job was cancelled, or Slurm starts it again already. (EX_TEMPFAIL of sysexits.h.)
inline constexpr int kStoppedExitStatus = 75;

class SavePolicy {
 public:
  // Collective over comm, which is duplicated. Throws CollectiveError on all ranks: usage for options that make no
  // sense, mismatch where they differ.
  explicit SavePolicy(MPI_Comm comm, SavePolicyOptions options = {});
  // Collective in MPI's sense; does nothing after MPI_Finalize.
  ~SavePolicy();
  SavePolicy(SavePolicy&&) noexcept;
  SavePolicy& operator=(SavePolicy&&) noexcept;
  SavePolicy(const SavePolicy&) = delete;
  SavePolicy& operator=(const SavePolicy&) = delete;

  // Called by all ranks the same number of times, from anywhere that all of them pass: after each step, and inside long
  // evaluations with the step before. `step`: how many steps are done, the same on all ranks. Whether to save now; the
  // same on all ranks. True once a reason: asked twice at one step, every_steps answers once. The other reasons may
  // come at a step that was saved already: such a save needs SaveOptions::replace_existing or another tag. The first
  // call counts as the one after a first step: a program that has just loaded trains before it asks. Throws
  // Error{mismatch} on all ranks, a call later, where they passed different steps; Error{timeout} on the ranks that
  // wait where others did not call.
  bool should_save(std::int64_t step);

  // Local: what the last should_save found, the same on all ranks. Why it returned true, or SaveReason::none; a line
  // for people ("SIGUSR1 came to rank 3"), empty with none.
  [[nodiscard]] SaveReason reason() const;
  [[nodiscard]] const std::string& why() const;
  // Whether the program is to end after this save: a signal of OnSignal::save_and_stop came, or the job's end.
  [[nodiscard]] bool should_stop() const;

  // Local. What a save took, to judge the next by; rank 0's counts. Not needed of skipped saves.
  // save_s: until it was published, without what it waited for saves before it; blocked_s: what the training loop
  // waited.
  void note_save(const SaveReport& report);
  void note_save(double save_s, double blocked_s);
  // Local. Seconds from now to the job's end by rank 0's knowledge; none on other ranks, or where it is not known.
  [[nodiscard]] std::optional<double> job_left_s() const;

  // Collective. Ends the program so that Slurm starts the job again: rank 0 calls `scontrol requeue` for SLURM_JOB_ID
  // (of an array's task for that) where there is one and it was neither cancelled nor started again, all ranks finalise
  // MPI and exit with kRequeueExitStatus (else with kStoppedExitStatus). Destructors of automatic objects do not run;
  // saves in flight should have been waited for. Slurm kills what is left of the job a few seconds later.
  [[noreturn]] void requeue();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
