#include "store/claim.hpp"

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <mutex>
#include <set>

namespace muster::store {

namespace {

struct Registry {
  std::mutex mutex;
  std::set<std::filesystem::path> parts;
  std::map<std::filesystem::path, std::uint64_t> last_sequence;  // by directory
};

Registry& registry() {
  static auto* all = new Registry;  // never destroyed: threads may end after main()
  return *all;
}

}  // namespace

Claim::Claim(const std::filesystem::path& part, std::uint64_t at_least)
    : part_(std::filesystem::weakly_canonical(part)) {
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  if (!all.parts.insert(part_).second) {
    throw Error(ErrorKind::busy, part.string() + " is being written by another save of this process");
  }
  auto& last = all.last_sequence[part_.parent_path()];
  sequence_ = last = std::max(last + 1, at_least);
}

Claim::~Claim() {
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  all.parts.erase(part_);
}

bool Claim::any_in(const std::filesystem::path& directory) {
  const auto wanted = std::filesystem::weakly_canonical(directory / "part").parent_path();
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  return std::ranges::any_of(all.parts, [&](const auto& part) { return part.parent_path() == wanted; });
}

}  // namespace muster::store
