#pragma once
// What the main functions of the programs share: MPI for as long as it is needed, and errors that end a program.

#include <functional>
#include <muster/error.hpp>

#include "mpi/comm.hpp"

namespace muster::program {

// Thrown by all ranks alike, as a CollectiveError is; the message says which rank failed if that matters.
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Whether an MPI launcher started this process, as its environment says.
bool was_launched();

// As MPI says once it runs, before that as the launcher's environment says; 0 without a launcher.
int own_rank();

// The rest of a main function: returns what `work` returns, or the exit code of what it throws. Rank 0 prints that
// error to standard error, for it is the same on all ranks (see run_on_ranks).
int run_program(const std::function<int()>& work);

// Initialises MPI (one rank where there is no launcher), runs `work` with a communicator of its own, finalises MPI.
// An AgreedError and a CollectiveError pass through. Any other exception is known to this rank only, and other ranks
// may wait for it: it is printed and ends the whole job.
int run_on_ranks(double timeout_s, const std::function<int(const mpi::CommView&)>& work);

}  // namespace muster::program
