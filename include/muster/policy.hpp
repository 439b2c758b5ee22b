#pragma once
// Decides when a training loop saves and when it stops: one answer for all ranks, with its reason.
//
//     muster::SavePolicy policy(comm, {.every_minutes = 30});
//     for (step = first; step <= last; ++step) {
//       train(step);
//       if (policy.should_save(step)) policy.note_save(muster::save_checkpoint(comm, dir, args_of(step)));
//       if (policy.should_stop()) break;
//     }
//     if (policy.should_stop()) policy.requeue();
//
// Each call of should_save starts one small non-blocking collective, which the next call finishes. It carries what one
// rank alone knows (signals, rank 0's clock), so such an answer is one call late. A call waits only until all ranks
// have made the previous call. Thread safety: one thread at a time. Any thread may get the signals.

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
  save,           // the loop saves and continues
  save_and_stop,  // the loop saves, and should_stop() is true from then on
};

// The options are the same on all ranks; otherwise the constructor throws Error{mismatch}. For job_end_unix_s and
// first_save_s the values of rank 0 apply.
struct SavePolicyOptions {
  // Saves at each multiple of this number of steps. 0: not by steps. Default: 0.
  std::int64_t every_steps = 0;
  // Saves this many minutes after the policy last asked for a save, by rank 0's clock. 0: not by time. Default: 0.
  double every_minutes = 0;
  // Signals to handle on every rank. A handler counts the signal and calls the handler that was installed before. The
  // last SavePolicy of the process removes the handlers. Empty: none. Default: as below.
  std::map<int, OnSignal> signals = {
      {SIGUSR1, OnSignal::save_and_stop}, {SIGTERM, OnSignal::save_and_stop}, {SIGUSR2, OnSignal::save}};

  // Saves and stops as soon as the remaining time of the job is at most the sum of
  // - 2 x the longest of the last hundred steps,
  // - 1.5 x the longest of the last five saves, for this save and for each of saves_in_flight,
  // - end_margin_s.
  // Before the first note_save, first_save_s stands for the longest save. Default: on.
  bool before_job_end = true;
  // Number of background saves that may be in flight when the last save begins and waits for them. Default: 0.
  int saves_in_flight = 0;
  // End of the job, in seconds since 1970. An end that has passed, or is more than a year away, is ignored with a
  // warning. Unset: MUSTER_JOB_END or SLURM_JOB_END_TIME of the environment (same unit), otherwise rank 0 asks Slurm
  // once, by squeue; a job without a limit has no end. Default: unset.
  std::optional<double> job_end_unix_s = std::nullopt;
  // Reserve before the end of the job, in seconds, at most a tenth of the job's time left at the start. Default: 30.
  double end_margin_s = 30;
  // Expected duration of the first save, in seconds, with the same bound. Default: 60.
  double first_save_s = 60;

  // Mean time between failures of the whole job, in hours. If it is known, saves are made at the interval that loses
  // the least time (see save_interval_s), and every_minutes is its upper bound. 0: unknown. Default: 0.
  double mean_hours_between_failures = 0;
  // The same for one node, divided by the number of nodes. It applies if mean_hours_between_failures is 0. Default: 0.
  double node_mean_hours_between_failures = 0;
  // Maximum share of the run time that goes into waiting for saves at this interval, in (0, 1]. Default: 0.05.
  double max_save_share = 0.05;

  // How long a rank waits in should_save, in seconds, > 0, before the log names the absent ranks. Default: 60.
  double warn_after_s = 60;
  // How long a rank waits in should_save, in seconds, > 0, before it throws Error{timeout}. Default: 1800.
  double timeout_s = 1800;
};

enum class SaveReason : std::uint8_t {
  none,
  steps,     // every_steps
  minutes,   // every_minutes
  failures,  // the interval from the mean time between failures
  signal,    // one of `signals`
  job_end,   // before_job_end
};
// Local. Returns the name of the enumerator: "steps", "minutes", ...
std::string_view name(SaveReason reason);

// Local, pure. Returns the seconds from one save to the next that lose the least time to saves and to steps repeated
// after a failure: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", 2006,
// eq. 37 (its first term is Young's sqrt(2 C M)). The interval is long enough that saves take at most max_save_share of
// the time. save_s is how long the training loop waits for a save. Both times are in seconds, > 0.
double save_interval_s(double save_s, double mean_time_between_failures_s, double max_save_share);

// Exit status of requeue(). Slurm starts such a job again if its RequeueExit lists the number.
inline constexpr int kRequeueExitStatus = 85;
// Exit status of requeue() if the job was cancelled, or Slurm already starts it again. (EX_TEMPFAIL of sysexits.h.)
inline constexpr int kStoppedExitStatus = 75;

class SavePolicy {
 public:
  // Collective over comm, which it duplicates. Errors, on all ranks: usage (invalid options), mismatch.
  explicit SavePolicy(MPI_Comm comm, SavePolicyOptions options = {});
  // Collective as MPI defines it. Does nothing after MPI_Finalize.
  ~SavePolicy();
  SavePolicy(SavePolicy&&) noexcept;
  SavePolicy& operator=(SavePolicy&&) noexcept;
  SavePolicy(const SavePolicy&) = delete;
  SavePolicy& operator=(const SavePolicy&) = delete;

  // Collective: all ranks call it the same number of times, after each step, and inside long evaluations with the
  // previous step. `step` is the number of completed steps, the same on all ranks. Returns whether to save now, the
  // same on all ranks.
  // - Each reason returns true once: every_steps answers once for each step.
  // - The other reasons may apply at a step that is already saved. Such a save needs SaveOptions::replace_existing or
  //   another tag.
  // - The first call counts as the call after a first step: a program that has just loaded trains before it calls.
  // Errors: mismatch, on all ranks one call later, if they passed different steps; timeout, on the ranks that waited,
  // if others did not call. After a timeout the policy is unusable.
  bool should_save(std::int64_t step);

  // Local. The next three describe the last should_save and are the same on all ranks.
  // Returns why it returned true, or SaveReason::none.
  [[nodiscard]] SaveReason reason() const;
  // Returns the reason as a line for people ("SIGUSR1 came to rank 3"), empty for none.
  [[nodiscard]] const std::string& why() const;
  // Returns whether the program should end after this save: OnSignal::save_and_stop applied, or the job ends.
  [[nodiscard]] bool should_stop() const;

  // Local. Records how long a save took, as an estimate for the next one. Only the values of rank 0 count. Skipped
  // saves have no effect. Both are in seconds: save_s is the time until the save was published, without the wait for
  // earlier saves; blocked_s is the time that the training loop waited.
  void note_save(const SaveReport& report);
  void note_save(double save_s, double blocked_s);
  // Local. Returns the seconds until the end of the job on rank 0. Unset on other ranks, or if the end is unknown.
  [[nodiscard]] std::optional<double> job_left_s() const;

  // Collective. Ends the program so that Slurm starts the job again. Saves in flight should be complete before.
  // - If the job was cancelled, or Slurm already starts it again, the exit status is kStoppedExitStatus.
  // - Otherwise it is kRequeueExitStatus, and rank 0 calls `scontrol requeue` for SLURM_JOB_ID (in an array, for the
  //   task) if it is set.
  // - All ranks finalise MPI and exit. Destructors of automatic objects do not run.
  // - Slurm kills what is left of the job a few seconds later.
  [[noreturn]] void requeue();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
