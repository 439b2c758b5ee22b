#pragma once
// The Slurm job that this process belongs to. Local.

#include <optional>
#include <string>

namespace muster::policy {

// As scontrol and squeue name it: "12", of an array's tasks "12_3" (SLURM_JOB_ID of one of them is that of the whole
// array). None outside of Slurm.
std::optional<std::string> own_job();

}  // namespace muster::policy
