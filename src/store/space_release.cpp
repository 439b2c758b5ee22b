#include "store/space_release.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <muster/error.hpp>
#include <string_view>
#include <thread>
#include <utility>

#include "base/all_signals_block.hpp"
#include "base/failpoint.hpp"
#include "base/file_system.hpp"

namespace muster::store {

namespace {

// Descriptors are few in some programs.
constexpr std::size_t kMostFiles = 8;

bool is_of_this_node(const std::filesystem::path& file) {
  constexpr std::array<std::string_view, 6> kOwn{"ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay"};
  return std::ranges::find(kOwn, file_system_of(file)) != kOwn.end();
}

struct Closing {
  std::mutex mutex;
  std::future<void> done;  // of std::async: destroyed or replaced it waits
};

// Never destroyed: saves in flight are finished at exit, after the statics that were made later than their handler.
Closing& closing() {
  static auto& instance = *new Closing;
  return instance;
}

}  // namespace

SpaceRelease::SpaceRelease() : lock_(closing().mutex) {
  if (closing().done.valid()) closing().done.wait();
}

void SpaceRelease::keep(const std::filesystem::path& file) {
  if (files_.size() == kMostFiles || !is_of_this_node(file)) return;
  try {
    files_.emplace_back(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (const Error&) {
    // As slow as it may be.
  }
}

SpaceRelease::~SpaceRelease() {
  if (files_.empty()) return;
  const AllSignalsBlock while_the_thread_starts;
  try {
    closing().done = std::async(std::launch::async, [files = std::move(files_)]() mutable {
      while (failpoint::is_armed("space.release")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      files.clear();
    });
  } catch (const std::exception&) {
    // No thread: they are closed on the way here.
  }
}

bool SpaceRelease::wait() {
  const std::lock_guard lock(closing().mutex);
  if (!closing().done.valid()) return false;
  closing().done.get();
  return true;
}

}  // namespace muster::store
