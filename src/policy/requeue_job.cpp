#include "policy/requeue_job.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <sstream>
#include <string>

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

// Why the job is not to be put back; empty: nothing speaks against it.
std::string objection(const std::string& job) {
  ChildProcess squeue({"squeue", "-h", "-j", job, "-O", "State:20,RestartCnt:20,TimeLeft:20"});
  const auto answer = squeue.read_to_end(kTimeoutS);
  std::istringstream words(answer);
  std::string state;
  std::string restarts;
  std::string left;
  if (!(words >> state >> restarts >> left)) return "squeue does not know it";
  if (restarts != restarts_of_this_start()) return "Slurm starts it again already";
  // Slurm ends a job that is out of time (none is left then), one that it requeues (and counts), or one that somebody
  // cancelled.
  const bool out_of_time = left == "INVALID" || left == "0:00";
  if (state == "COMPLETING" && !out_of_time) return "it was cancelled";
  return {};
}

}  // namespace

bool requeue_job() noexcept {
  try {
    const auto job = own_job();
    if (!job) return false;
    if (const auto why_not = objection(*job); !why_not.empty()) {
      log_warning(fmt::format("job {} is not requeued: {}", *job, why_not));
      return false;
    }
    ChildProcess scontrol({"scontrol", "requeue", *job});
    const int status = scontrol.wait(kTimeoutS);
    if (status == 0) return true;
    log_warning(fmt::format("scontrol requeue {} ended with status {}", *job, status));
  } catch (const std::exception& error) {
    log_warning(std::string("the job is not requeued: ") + error.what());
  }
  return false;
}

}  // namespace muster::policy
