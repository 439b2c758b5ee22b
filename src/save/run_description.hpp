#pragma once
// What a file says about the run that saved it.

#include <cstdint>

#include "model/catalog.hpp"
#include "mpi/team.hpp"
#include "save/save_job.hpp"

namespace muster::save {

// Local. `job` has its plan and its engine; `sequence` is the place of the save in the directory's order.
RunInfo describe_run(const mpi::Team& team, const SaveJob& job, std::uint64_t sequence);

}  // namespace muster::save
