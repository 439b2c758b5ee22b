#pragma once
// The end of a save on rank 0: local work with files alone, no MPI and no HDF5, so that a background thread can do it.

#include <filesystem>
#include <functional>
#include <vector>

#include "save/rank_report.hpp"
#include "save/save_job.hpp"

namespace muster::save {

// Seals the part with what all ranks reported and publishes it. Throws what failed; nothing is published then.
void publish_save(SaveJob& job, const std::vector<RankReport>& reports);

// Deletes the older tags that the retention does not keep. What fails becomes a warning of the report: the
// save is published, and the next one tries again.
void retire_old_tags(SaveJob& job, store::Directory& directory);

// Adds the line of this save to the history of the directory; what fails is a warning.
void note_in_history(const std::filesystem::path& directory, SaveJob& job, const std::vector<RankReport>& reports,
                     const SaveOutcome& outcome);

}  // namespace muster::save
