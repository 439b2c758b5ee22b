#pragma once
// Who holds a directory: the process that saves there for a job, as it is written into the directory for others to see.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/process_identity.hpp"

namespace muster::store {

struct Owner {
  ProcessIdentity process = {};
  std::string cluster = {};   // of Slurm; this one and the next two are empty where there is none
  std::string job = {};       // SLURM_JOB_ID
  std::uint64_t restart = 0;  // SLURM_RESTART_COUNT: Slurm starts the same job again
  std::string launch = {};    // one mpirun or srun; empty where there is none
  std::string token = {};     // the same for all that this process does for this launch, and for nobody else
  std::string since = {};     // UTC, to the millisecond
  bool released = false;      // it has ended in good order
};

// This process, as its environment tells.
Owner this_owner();
// What names a launch of MPICH's hydra: "hydra HOST:PORT", where its mpiexec listens. From the command line (arguments
// that end with NUL) of a hydra_pmi_proxy, the parent of the ranks of a node; empty for other command lines.
std::string hydra_launch_of(std::string_view command_line);

nlohmann::json to_json(const Owner& owner);
// Nothing where it is no owner.
std::optional<Owner> owner_from(const nlohmann::json& json);

// "job 4711 (restart 1) on n2 (pid 4242) since 2026-11-22T20:15:03.214Z"
std::string text_of(const Owner& owner);

}  // namespace muster::store
