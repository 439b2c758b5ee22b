#pragma once
// Asking Slurm to start the job again. Local.

namespace muster::policy {

// Calls `scontrol requeue` for the job of this process. False where the program was not started by Slurm, and, with a
// line on the log, where somebody has cancelled the job, Slurm starts it again already, or it failed. Never throws.
bool requeue_job() noexcept;

}  // namespace muster::policy
