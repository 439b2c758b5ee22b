#pragma once
// MPI for the time of one command.

#include <functional>

#include "mpi/comm.hpp"

namespace muster::bench {

// Initialises MPI (one rank where there is no launcher), runs `work` with a communicator of its own, finalises MPI.
// A CollectiveError passes through. Any other exception is known to this rank only, and the others may wait for it: it
// is printed and ends the whole job.
int run_in_session(const std::function<int(const mpi::CommView&)>& work);

}  // namespace muster::bench
