#include "store/space_release.hpp"

#include <fcntl.h>

#include <chrono>
#include <muster/error.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "base/all_signals_block.hpp"
#include "base/failpoint.hpp"

namespace muster::store {

std::optional<posix::File> hold_space(const std::filesystem::path& file) {
  try {
    return posix::File(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void SpaceRelease::release(std::vector<posix::File> removed) {
  if (removed.empty()) return;
  const std::lock_guard lock(mutex_);
  if (closing_.valid()) closing_.get();
  const AllSignalsBlock while_the_thread_starts;
  try {
    closing_ = std::async(std::launch::async, [files = std::move(removed)]() mutable {
      while (failpoint::is_armed("space.release")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      files.clear();
    });
  } catch (const std::system_error&) {
    // No thread: they were closed on the way here.
  }
}

bool SpaceRelease::wait() {
  const std::lock_guard lock(mutex_);
  if (!closing_.valid()) return false;
  closing_.get();
  return true;
}

}  // namespace muster::store
