#include "store/retention.hpp"

#include <algorithm>

#include "base/failpoint.hpp"
#include "base/posix.hpp"
#include "store/names.hpp"

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

}  // namespace muster::store
