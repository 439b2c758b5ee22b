#include "policy/own_job.hpp"

#include <cstdlib>

namespace muster::policy {

std::optional<std::string> own_job() {
  const char* array = std::getenv("SLURM_ARRAY_JOB_ID");
  const char* task = std::getenv("SLURM_ARRAY_TASK_ID");
  if (array != nullptr && task != nullptr) return std::string(array) + '_' + task;
  const char* job = std::getenv("SLURM_JOB_ID");
  if (job == nullptr) return std::nullopt;
  return job;
}

}  // namespace muster::policy
