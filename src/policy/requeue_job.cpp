#include "policy/requeue_job.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <muster/error.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "base/child_process.hpp"
#include "base/log.hpp"
#include "policy/own_job.hpp"

namespace muster::policy {

namespace {

constexpr double kTimeoutS = 30;

std::string restarts_of_this_start() {
  const char* count = std::getenv("SLURM_RESTART_COUNT");
  return count != nullptr ? count : "0";
}

struct JobView {
  std::string state;
  std::string restarts;
  std::string time_left;
  std::string preempted_at;
};

std::optional<JobView> ask_slurm_once(const std::string& job) {
  ChildProcess squeue({"squeue", "-h", "-j", job, "-O", "State:20,RestartCnt:20,TimeLeft:20,PreemptTime:30"});
  std::istringstream words(squeue.read_to_end(kTimeoutS));
  JobView view;
  words >> view.state >> view.restarts >> view.time_left >> view.preempted_at;
  const bool is_said = !words.fail() && view.restarts.find_first_not_of("0123456789") == std::string::npos;
  if (squeue.wait(kTimeoutS) != 0 || !is_said) return std::nullopt;
  return view;
}

JobView ask_slurm(const std::string& job) {
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
    if (auto view = ask_slurm_once(job)) return *view;
  }
  throw Error(ErrorKind::io, "squeue does not tell of job " + job);
}

// Why the job is not to be put back; empty: nothing speaks against it.
std::string objection(const JobView& view) {
  if (view.restarts != restarts_of_this_start()) return "Slurm starts it again already";
  // Slurm ends jobs that are out of time, or that it preempts; else somebody has cancelled it.
  const bool out_of_time = view.time_left == "INVALID" || view.time_left == "0:00";
  if (view.state == "COMPLETING" && !out_of_time && view.preempted_at == "N/A") return "it was cancelled";
  return {};
}

}  // namespace

Requeue requeue_job() noexcept {
  try {
    const auto job = own_job();
    if (!job) return Requeue::failed;
    if (const auto why_not = objection(ask_slurm(*job)); !why_not.empty()) {
      log_warning(fmt::format("job {} is not requeued: {}", *job, why_not));
      return Requeue::not_wanted;
    }
    ChildProcess scontrol({"scontrol", "requeue", *job});
    const int status = scontrol.wait(kTimeoutS);
    if (status == 0) return Requeue::done;
    log_warning(fmt::format("scontrol requeue {} ended with status {}", *job, status));
  } catch (const std::exception& error) {
    log_warning(std::string("the job is not requeued: ") + error.what());
  }
  return Requeue::failed;
}

}  // namespace muster::policy
