#pragma once
// What a file says about the run that saved it.

#include <cstdint>

#include "coord/save_job.hpp"
#include "coord/team.hpp"
#include "model/catalog.hpp"

namespace muster::coord {

// Local. `job` has its plan and its engine; `sequence` is the place of the save in the directory's order.
RunInfo describe_run(const Team& team, const SaveJob& job, std::uint64_t sequence);

}  // namespace muster::coord
