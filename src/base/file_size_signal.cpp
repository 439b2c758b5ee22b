#include "base/file_size_signal.hpp"

#include <pthread.h>

#include <ctime>

namespace muster {

namespace {

sigset_t file_size_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  return set;
}

}  // namespace

FileSizeSignalBlock::FileSizeSignalBlock() {
  const auto set = file_size_signal();
  pthread_sigmask(SIG_BLOCK, &set, &before_);
}

FileSizeSignalBlock::~FileSizeSignalBlock() {
  if (sigismember(&before_, SIGXFSZ) == 1) return;
  // What our writes raised has been reported as an error already.
  const auto set = file_size_signal();
  const timespec no_wait{};
  while (sigtimedwait(&set, nullptr, &no_wait) == SIGXFSZ) {
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace muster
