#pragma once
// Which tags to delete. The choice is pure; deleting is local to one rank.

#include <string>
#include <vector>

#include "store/directory.hpp"
#include "store/ownership.hpp"

namespace muster::store {

// The sound tags beyond the newest `keep` (>= 1), oldest first, never `known_good`. Tags that are not sound are
// neither counted nor chosen: they are for a person to look at. `entries` as Directory::list() gives them.
std::vector<std::string> tags_to_retire(const std::vector<TagEntry>& entries, int keep, const std::string& known_good);

// Deletes the files of these tags, in order, and makes that durable. Throws Error{io} at the first that fails. For a
// person at a command line, who owns every directory.
void retire(const std::filesystem::path& directory, const std::vector<std::string>& tags);
// The same for a job, as long as it holds the directory; their space may come back later, see space_release.hpp. Throws
// Error{superseded} too.
void retire(Ownership& ownership, const std::vector<std::string>& tags);

}  // namespace muster::store
