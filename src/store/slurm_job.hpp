#pragma once
// Whether a job of Slurm still runs.

#include <optional>
#include <string>

namespace muster::store {

// Asks `squeue` once, for some seconds at most. Nothing where it cannot be asked or does not say.
std::optional<bool> slurm_job_runs(const std::string& job);

}  // namespace muster::store
