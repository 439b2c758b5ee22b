#pragma once
// Which MPI library this is.

#include <string>
#include <string_view>

namespace muster::mpi {

// As the library describes itself, up to the first comma or line end: "Open MPI v4.1.4", "MPICH Version:      4.2.1".
std::string library_version();

// Whether the MPI-IO of a library of that description is known to corrupt what parallel HDF5 writes. Pure.
bool corrupts_parallel_hdf5(std::string_view library_version);

}  // namespace muster::mpi
