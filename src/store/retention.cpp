#include "store/retention.hpp"

#include <algorithm>
#include <list>
#include <muster/error.hpp>

#include "base/failpoint.hpp"
#include "base/posix.hpp"
#include "store/names.hpp"
#include "store/removal.hpp"
#include "store/space_release.hpp"

namespace muster::store {

std::vector<std::string> tags_to_retire(const std::vector<TagEntry>& entries, int keep, const std::string& known_good) {
  std::vector<std::string> retired;
  int kept = 0;
  for (const auto& entry : entries) {
    if (!entry.run) continue;
    if (kept < keep) {
      ++kept;
    } else if (entry.tag != known_good) {
      retired.push_back(entry.tag);
    }
  }
  std::reverse(retired.begin(), retired.end());
  return retired;
}

void retire(const std::filesystem::path& directory, const std::vector<std::string>& tags) {
  for (const auto& tag : tags) {
    failpoint::pass("retention.before_remove");
    posix::remove(tag_file(directory, tag));
  }
  if (!tags.empty()) posix::sync_directory(directory);
}

void retire(Ownership& ownership, const std::vector<std::string>& tags) {
  if (tags.empty()) return;
  const auto& directory = ownership.directory();
  std::list<PendingRemoval> removals;
  SpaceRelease space;
  for (const auto& tag : tags) {
    removals.emplace_back(directory, tag_file({}, tag).string(), ownership.generation());
    space.keep(tag_file(directory, tag));
  }
  constexpr auto kConsequence = "no old checkpoint was removed";
  ownership.check(kConsequence);
  for (auto& removal : removals) {
    failpoint::pass("retention.before_remove");
    try {
      removal.remove();
    } catch (const Error&) {
      ownership.check(kConsequence);
      throw;
    }
  }
  posix::sync_directory(directory);
}

}  // namespace muster::store
