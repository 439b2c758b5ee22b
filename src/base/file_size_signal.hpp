#pragma once
// A write beyond the file size limit raises SIGXFSZ, which ends the process, unless that signal is blocked or ignored:
// then it fails with EFBIG, which can be reported.

#include <csignal>

namespace muster {

// Blocks SIGXFSZ on this thread while it lives. The program's own handling is as before afterwards.
class FileSizeSignalBlock {
 public:
  FileSizeSignalBlock();
  ~FileSizeSignalBlock();
  FileSizeSignalBlock(const FileSizeSignalBlock&) = delete;
  FileSizeSignalBlock& operator=(const FileSizeSignalBlock&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace muster
