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

}  // namespace muster::mpi
