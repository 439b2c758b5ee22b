#pragma once
// Gives the space of removed files back to the file system while nobody waits for it.
//
// The name of a file is gone at once. What it occupied goes with the last descriptor, and on some file systems that
// takes its time: 0.35 s a GB on ext4 mounted with `discard`. So who removes a file opens it first, and leaves what it
// opened here.

#include <filesystem>
#include <future>
#include <mutex>
#include <optional>
#include <vector>

#include "base/posix.hpp"

namespace muster::store {

// Keeps the space of a file beyond its removal; nothing where the file cannot be opened, and is removed as slowly as
// it may be.
std::optional<posix::File> hold_space(const std::filesystem::path& file);

// Thread-safe. Its destructor waits, as wait() does.
class SpaceRelease {
 public:
  // Closes files that are removed by now, on a thread of its own. Waits for those given before, so that no more than
  // one call's are behind.
  void release(std::vector<posix::File> removed);
  // Until the space of all is back. False where nothing was given since the last call.
  bool wait();

 private:
  std::mutex mutex_;
  std::future<void> closing_;  // of std::async: destroyed or replaced it waits
};

}  // namespace muster::store
