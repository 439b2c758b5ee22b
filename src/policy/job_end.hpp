#pragma once
// When the job that this process belongs to must be over. Local.

#include <optional>
#include <string>

namespace muster::policy {

// Seconds since 1970: MUSTER_JOB_END or SLURM_JOB_END_TIME of the environment, else asked of Slurm, which takes some
// milliseconds, and at most ten seconds. None where there is no limit, or nobody knows of one. Throws Error{usage}
// where a variable is no number.
std::optional<double> job_end_unix_s();

// Seconds of what squeue prints as time left: "1-02:03:04", "2:03:04", "3:04". None of anything else ("UNLIMITED").
std::optional<double> parse_time_left(const std::string& text);

}  // namespace muster::policy
