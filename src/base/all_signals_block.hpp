#pragma once
// For the start of threads: signals of the program's are for its own threads.

#include <csignal>

namespace muster {

// Blocks all signals on this thread while it lives; threads started meanwhile keep them blocked. There a write beyond
// the file size limit is an error, too (file_size_signal.hpp).
class AllSignalsBlock {
 public:
  AllSignalsBlock() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlock() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlock(const AllSignalsBlock&) = delete;
  AllSignalsBlock& operator=(const AllSignalsBlock&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace muster
