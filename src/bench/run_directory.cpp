#include "bench/run_directory.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>

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

}  // namespace

// A thread that waits for a signal, removes the directory where there is one, and ends the process.
class RunDirectory::SignalWatch {
 public:
  explicit SignalWatch(std::filesystem::path path) : path_(std::move(path)), thread_([this] { wait(); }) {}
  ~SignalWatch() {
    done_ = true;
    // Only wakes the thread: it has the signal blocked, and waits for it.
    ::pthread_kill(thread_.native_handle(), SIGTERM);  // NOLINT(bugprone-bad-signal-to-kill-thread)
    thread_.join();
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  void wait() {
    const auto signals = watched_signals();
    int signal = 0;
    while (::sigwait(&signals, &signal) != 0) {
    }
    if (done_) return;
    if (path_.empty()) {
      // The launcher ends all ranks once one has ended: the one that removes the directory comes first.
      std::this_thread::sleep_for(std::chrono::seconds(1));
    } else {
      remove();
    }
    ::_exit(128 + signal);
  }

  // Moves the directory away first, so that nobody who still works can add to it; they may make it anew.
  void remove() const {
    constexpr int kAttempts = 5;
    const auto moved = std::filesystem::path(path_.string() + ".gone");
    std::error_code error;
    for (int attempt = 0; attempt < kAttempts && std::filesystem::exists(path_, error); ++attempt) {
      std::filesystem::rename(path_, moved, error);
      std::filesystem::remove_all(moved, error);
    }
  }

  std::filesystem::path path_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

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
  watch_ = std::make_unique<SignalWatch>(owner_ ? path_ : std::filesystem::path());
}

RunDirectory::~RunDirectory() {
  watch_.reset();
  std::error_code ignored;
  if (owner_) std::filesystem::remove_all(path_, ignored);
}

void leave_signals_to_run_directory() {
  const auto signals = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace muster::bench
