#include "policy/own_job.hpp"

#include <cstdlib>
#include <string_view>

namespace muster::policy {

std::optional<std::string> own_job() {
  const char* job = std::getenv("SLURM_JOB_ID");
  if (job == nullptr) return std::nullopt;
  // A job that was submitted from a task of another array has that one's variables.
  const char* array = std::getenv("SLURM_ARRAY_JOB_ID");
  const char* task = std::getenv("SLURM_ARRAY_TASK_ID");
  if (array != nullptr && task != nullptr && std::string_view(array) == job) return std::string(array) + '_' + task;
  return job;
}

}  // namespace muster::policy
