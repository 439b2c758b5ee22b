#pragma once
// The Slurm job that this process belongs to. Local.

#include <optional>
#include <string>

namespace muster::policy {

// As scontrol and squeue name it: "12"; "12_3" of that task of an array whose SLURM_JOB_ID is the whole array's. None
// outside of Slurm.
std::optional<std::string> own_job();

}  // namespace muster::policy
