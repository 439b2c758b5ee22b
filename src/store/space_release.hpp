#pragma once
// Gives the space of removed files back to the file system while nobody waits for it.
//
// The name of a file is gone at once. What it occupied goes with the last descriptor, and on some file systems that
// takes its time: 0.35 s a GB on ext4 mounted with `discard`. So who removes a file opens it first.
//
// Only on file systems of the node's own. A client of a network file system that has the file open itself does not
// remove or replace it, but renames it first (NFS: .nfs...), which is neither atomic nor bound to a generation.

#include <filesystem>
#include <mutex>
#include <vector>

#include "base/posix.hpp"

namespace muster::store {

// While it lives its thread removes or replaces files; when it goes their space goes, on a thread of its own. One at a
// time in the process: one that is made waits until the space of the one before is back.
class SpaceRelease {
 public:
  SpaceRelease();
  ~SpaceRelease();
  SpaceRelease(const SpaceRelease&) = delete;
  SpaceRelease& operator=(const SpaceRelease&) = delete;

  // Before the file is removed. Of more than a few files, of those that cannot be opened, and of those elsewhere than
  // on a file system of the node's own, nothing is kept: their removal takes as long as it takes.
  void keep(const std::filesystem::path& file);

  // Until the space of all that this process removed so far is back. False where there was nothing to wait for since
  // the last call. Thread-safe.
  static bool wait();

 private:
  std::unique_lock<std::mutex> lock_;
  std::vector<posix::File> files_;
};

}  // namespace muster::store
