#include "save/save_failures.hpp"

#include <limits>

#include "base/log.hpp"
#include "mpi/agree.hpp"

namespace muster::save {

std::uint64_t SaveFailures::first_unseen() const {
  for (const auto& [number, failure] : failures_) {
    if (!seen_.contains(number)) return number;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

void SaveFailures::throw_failure(std::uint64_t number) {
  const auto failed = failures_.find(number);
  if (failed == failures_.end()) return;
  note_seen(number);
  std::rethrow_exception(failed->second);
}

void SaveFailures::log_unseen() {
  for (const auto& [number, failure] : failures_) {
    if (!seen_.insert(number).second) continue;
    log_warning("not seen by the program: " + mpi::failure_of(0, failure).message);
  }
}

}  // namespace muster::save
