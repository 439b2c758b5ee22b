#pragma once
// The end of a save on rank 0: local work with files alone, no MPI and no HDF5, so that a background thread can do it.

#include <filesystem>
#include <vector>

#include "coord/rank_tale.hpp"
#include "coord/save_job.hpp"

namespace muster::coord {

// Seals the part with what all ranks told and publishes it. Throws what failed; nothing is published then.
void publish_save(const std::filesystem::path& directory, SaveJob& job, const std::vector<RankTale>& tales);

// Retires what options.num_kept_ckpts does not keep of these tags (newest first, the job's own among them). What fails
// becomes a warning of the report: the next save tries again.
void retire_old_tags(const std::filesystem::path& directory, SaveJob& job, const std::vector<store::TagEntry>& tags);

// Adds the line of this save to the history of the directory; what fails is a warning.
void note_in_history(const std::filesystem::path& directory, SaveJob& job, const std::vector<RankTale>& tales,
                     const Verdict& verdict);

}  // namespace muster::coord
