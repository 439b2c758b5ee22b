#pragma once
// Asking Slurm to start the job again. Local.

namespace muster::policy {

// Calls `scontrol requeue` for SLURM_JOB_ID. False where the program was not started by Slurm, or where it failed,
// which is on the log then. Never throws.
bool requeue_job() noexcept;

}  // namespace muster::policy
