#pragma once
// A directory that all ranks of a test share and that is gone when the test ends.

#include <mpi.h>

#include <filesystem>

namespace muster::test {

// Collective over comm, made and destroyed. Lies under $MUSTER_TEST_DIR, or the system's temporary directory.
class Scratch {
 public:
  explicit Scratch(MPI_Comm comm = MPI_COMM_WORLD);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  MPI_Comm comm_;
  std::filesystem::path path_;
};

int world_rank();
int world_size();

}  // namespace muster::test
