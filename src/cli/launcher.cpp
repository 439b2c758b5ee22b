#include "cli/launcher.hpp"

#include <mpi.h>

#include <cstdlib>
#include <initializer_list>

#include "mpi/check.hpp"

namespace muster::cli {

namespace {

bool was_launched() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(variable) != nullptr) return true;
  }
  return false;
}

}  // namespace

Launcher::Launcher() {
  if (!was_launched()) return;
  mpi::check(MPI_Init(nullptr, nullptr), "MPI_Init");
  active_ = true;
  mpi::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  mpi::check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
}

Launcher::~Launcher() {
  if (active_) MPI_Finalize();
}

}  // namespace muster::cli
