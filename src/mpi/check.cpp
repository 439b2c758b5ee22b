#include "mpi/check.hpp"

#include <mpi.h>

#include <array>
#include <muster/error.hpp>
#include <string>

namespace muster::mpi {

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error(ErrorKind::io, std::string(call) + ": " + std::string(text.data(), static_cast<std::size_t>(length)));
}

void require_usable(MPI_Comm comm) {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized == 0 || finalized != 0) {
    throw Error(ErrorKind::usage, "muster was called before MPI_Init or after MPI_Finalize");
  }
  if (comm == MPI_COMM_NULL) throw Error(ErrorKind::usage, "the communicator is MPI_COMM_NULL");
}

}  // namespace muster::mpi
