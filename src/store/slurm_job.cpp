#include "store/slurm_job.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <sstream>
#include <thread>

#include "base/child_process.hpp"

namespace muster::store {

namespace {

constexpr const char* kUnknownJob = "Invalid job id";

std::optional<std::string> ask_once(const std::string& job) {
  constexpr double kTimeoutS = 10;
  ChildProcess squeue({"squeue", "--noheader", "--jobs=" + job, "--format=%T"}, StderrTo::output);
  auto answer = squeue.read_to_end(kTimeoutS);
  const bool unknown = answer.find(kUnknownJob) != std::string::npos;
  if (squeue.wait(kTimeoutS) != 0 && !unknown) return std::nullopt;
  return answer;
}

// Nothing where squeue is not there, cannot reach Slurm (which may be busy for a moment), or takes too long.
std::optional<std::string> states_of(const std::string& job) {
  constexpr int kTries = 3;
  try {
    for (int i = 0; i < kTries; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
      if (auto answer = ask_once(job)) return answer;
    }
  } catch (const std::exception&) {  // as where it does not answer
  }
  return std::nullopt;
}

}  // namespace

std::optional<bool> slurm_job_runs(const std::string& job) {
  const bool is_number = !job.empty() && std::ranges::all_of(job, [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number) return std::nullopt;
  const auto answer = states_of(job);
  if (!answer) return std::nullopt;
  if (answer->find(kUnknownJob) != std::string::npos) return false;
  // One line each for the tasks of an array. What waits to be started holds nothing.
  std::istringstream lines(*answer);
  for (std::string state; std::getline(lines, state);) {
    constexpr std::array kNoLonger{"PENDING",   "COMPLETED", "CANCELLED", "FAILED",   "TIMEOUT",      "NODE_FAIL",
                                   "PREEMPTED", "BOOT_FAIL", "DEADLINE",  "REQUEUED", "OUT_OF_MEMORY"};
    if (std::ranges::find(kNoLonger, state) == kNoLonger.end()) return true;
  }
  return false;
}

}  // namespace muster::store
