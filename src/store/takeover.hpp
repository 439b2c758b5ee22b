#pragma once
// Who may take a directory over from whom.

#include <functional>
#include <optional>
#include <string>

#include "store/owner.hpp"

namespace muster::store {

enum class Relation : std::uint8_t {
  ours,   // held by this process, or by another one of the same launch
  free,   // the owner is gone, or was an earlier start of the same job
  held,   // the owner may be there still
  later,  // held by a later start of the same job: it is us who should be gone
};

// Whether a job of Slurm runs still; nothing where that cannot be known.
using JobRuns = std::function<std::optional<bool>(const std::string& job)>;

// How `me` stands to what `owner` holds. Asks `job_runs` only where nothing else tells.
Relation relation_to(const Owner& owner, const Owner& me, const JobRuns& job_runs);

}  // namespace muster::store
