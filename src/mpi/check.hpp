#pragma once
// The one wrapper of MPI return codes.

#include <mpi.h>

namespace muster::mpi {

// Throws Error{io} "<call>: <MPI's text>" unless code is MPI_SUCCESS. Communicators must return errors
// (MPI_ERRORS_RETURN) for this to be reached; Comm sees to that.
void check(int code, const char* call);

// Throws Error{usage} where MPI is not initialised, or finalised already, or the communicator is none.
void require_usable(MPI_Comm comm);

}  // namespace muster::mpi
