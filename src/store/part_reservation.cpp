#include "store/part_reservation.hpp"

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <set>

namespace muster::store {

namespace {

struct Registry {
  std::mutex mutex;
  std::set<std::filesystem::path> parts;
  struct OfDirectory {
    std::uint64_t last_sequence = 0;
    std::mutex publishing;
  };
  std::map<std::filesystem::path, OfDirectory> directories;  // never fewer: references stay good
};

std::filesystem::path key_of(const std::filesystem::path& directory) {
  return std::filesystem::weakly_canonical(directory / "part").parent_path();
}

Registry& registry() {
  static auto* all = new Registry;  // never destroyed: threads may end after main()
  return *all;
}

}  // namespace

PartReservation::PartReservation(const std::filesystem::path& part, std::uint64_t at_least)
    : part_(std::filesystem::weakly_canonical(part)) {
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  auto& last = all.directories[part_.parent_path()].last_sequence;
  if (!all.parts.insert(part_).second) {
    throw Error(ErrorKind::busy, part.string() + " is being written by another save of this process");
  }
  sequence_ = last = std::max(last + 1, at_least);
}

PartReservation::~PartReservation() {
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  all.parts.erase(part_);
}

std::mutex& PartReservation::publishing_in(const std::filesystem::path& directory) {
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  return all.directories[key_of(directory)].publishing;
}

bool PartReservation::any_in(const std::filesystem::path& directory) {
  const auto wanted = key_of(directory);
  auto& all = registry();
  const std::lock_guard lock(all.mutex);
  return std::ranges::any_of(all.parts, [&](const auto& part) { return part.parent_path() == wanted; });
}

}  // namespace muster::store
