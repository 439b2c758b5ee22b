#include "mpi/mpi_version.hpp"

#include <mpi.h>

#include <array>

#include "mpi/check.hpp"

namespace muster::mpi {

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));
}

bool corrupts_parallel_hdf5(std::string_view library_version) {
  // File locks of OMPIO that cover too little: open-mpi/ompi pull request 12759, mended in 5.0.6.
  constexpr std::string_view kBroken = "Open MPI v5.0.5";
  if (!library_version.starts_with(kBroken)) return false;
  const auto rest = library_version.substr(kBroken.size());
  return rest.empty() || rest.front() < '0' || rest.front() > '9';
}

}  // namespace muster::mpi
