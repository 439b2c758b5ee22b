#include "bench/run_directory.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "base/posix.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

sigset_t watched_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

// Moves the directory away first, so that nobody who still works can add to it; they may make it anew.
void remove_in_use(const std::filesystem::path& path) {
  constexpr int kAttempts = 5;
  const auto moved = std::filesystem::path(path.string() + ".gone");
  std::error_code error;
  for (int attempt = 0; attempt < kAttempts && std::filesystem::exists(path, error); ++attempt) {
    std::filesystem::rename(path, moved, error);
    std::filesystem::remove_all(moved, error);
  }
}

// Until it is stopped: waits for a signal, removes the directory if there is one, and ends the process.
void watch_signals(const std::stop_token& stop, const std::filesystem::path& path) {
  constexpr timespec kPause{0, 100'000'000};
  const auto signals = watched_signals();
  while (!stop.stop_requested()) {
    const int signal = ::sigtimedwait(&signals, nullptr, &kPause);
    if (signal < 0) continue;
    if (path.empty()) {
      // The launcher ends all ranks once one has ended: the one that removes the directory comes first.
      std::this_thread::sleep_for(std::chrono::seconds(1));
    } else {
      remove_in_use(path);
    }
    ::_exit(128 + signal);
  }
}

}  // namespace

RunDirectory::RunDirectory(const mpi::CommView& comm, const std::filesystem::path& parent) : owner_(comm.rank() == 0) {
  std::string name;
  mpi::run_on_root(comm, "prepare", [&] {
    std::error_code error;
    std::filesystem::create_directories(parent, error);
    if (error) posix::fail("make", parent, error.value());
    name = (std::filesystem::absolute(parent) / "muster-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) posix::fail("make a directory in", parent, errno);
  });
  path_ = broadcast_json(comm, name).get<std::string>();
  watch_ = std::jthread(watch_signals, owner_ ? path_ : std::filesystem::path());
}

RunDirectory::~RunDirectory() {
  watch_ = {};
  std::error_code ignored;
  if (owner_) std::filesystem::remove_all(path_, ignored);
}

void leave_signals_to_run_directory() {
  const auto signals = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace muster::bench
