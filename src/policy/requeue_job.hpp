#pragma once
// Asking Slurm to start the job again. Local.

#include <cstdint>

namespace muster::policy {

enum class Requeue : std::uint8_t {
  done,
  not_wanted,  // somebody has cancelled the job, or Slurm starts it again already
  failed,      // or the program was not started by Slurm
};

// Calls `scontrol requeue` for the job of this process. What hinders it is on the log. Never throws.
Requeue requeue_job() noexcept;

}  // namespace muster::policy
