#include "policy/requeue_job.hpp"

#include <cstdlib>
#include <exception>
#include <string>

#include "base/child_process.hpp"
#include "base/log.hpp"

namespace muster::policy {

bool requeue_job() noexcept {
  constexpr double kTimeoutS = 30;
  try {
    const char* job = std::getenv("SLURM_JOB_ID");
    if (job == nullptr) return false;
    ChildProcess scontrol({"scontrol", "requeue", job});
    const int status = scontrol.wait(kTimeoutS);
    if (status == 0) return true;
    log_warning(std::string("scontrol requeue ") + job + " ended with status " + std::to_string(status));
  } catch (const std::exception& error) {
    log_warning(std::string("the job is not requeued: ") + error.what());
  }
  return false;
}

}  // namespace muster::policy
