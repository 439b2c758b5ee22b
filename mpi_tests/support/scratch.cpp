#include "support/scratch.hpp"

#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "support/files.hpp"

namespace muster::test {

int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

Scratch::Scratch(MPI_Comm comm) : comm_(comm) {
  std::array<char, 4096> name{};
  int rank = 0;
  MPI_Comm_rank(comm_, &rank);
  if (rank == 0) {
    const auto pattern = temporary_pattern();
    std::strncpy(name.data(), pattern.c_str(), name.size() - 1);
    if (mkdtemp(name.data()) == nullptr) name[0] = '\0';
  }
  MPI_Bcast(name.data(), static_cast<int>(name.size()), MPI_CHAR, 0, comm_);
  if (name[0] == '\0') throw std::runtime_error("no scratch directory");
  path_ = name.data();
}

Scratch::~Scratch() {
  MPI_Barrier(comm_);
  int rank = 0;
  MPI_Comm_rank(comm_, &rank);
  if (rank == 0) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  MPI_Barrier(comm_);
}

}  // namespace muster::test
