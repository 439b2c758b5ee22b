#pragma once
// The directory that one run of a benchmark works in; gone when it ends, also by a signal.

#include <filesystem>
#include <thread>

#include "mpi/comm.hpp"

namespace muster::bench {

class RunDirectory {
 public:
  // Collective. Makes a new directory inside `parent`, which is made too where it is missing.
  RunDirectory(const mpi::CommView& comm, const std::filesystem::path& parent);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  bool owner_ = false;
  std::filesystem::path path_;
  std::jthread watch_;
};

// Blocks SIGINT, SIGTERM and SIGHUP in this thread and those that it starts, so that RunDirectory can wait for them. To
// be called before any thread is started.
void leave_signals_to_run_directory();

}  // namespace muster::bench
