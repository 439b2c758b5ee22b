#pragma once
// The communicators of the groups of a grid, for the messages of a program.

#include <mpi.h>

#include <initializer_list>
#include <memory>
#include <muster/export.hpp>
#include <muster/grid.hpp>

namespace MUSTER_EXPORT muster {

// The communicator of one group of a ParallelGrid. The class is move-only.
// Thread safety: as for every object of muster, see checkpoint.hpp.
//
//     const muster::ParallelGrid grid({.tensor = 4, .pipeline = 2}, world_size);
//     const muster::GroupComm tensor_group(MPI_COMM_WORLD, grid, {muster::Axis::tensor});
//     MPI_Allreduce(..., tensor_group.handle());
class GroupComm {
 public:
  // Collective over comm. Every rank passes the same grid and axes. The ranks of the new communicator are
  // grid.group(rank in comm, axes), in that order. Without axes each rank has a communicator of its own. The error
  // handler of the communicator is MPI_ERRORS_RETURN. Errors:
  // * Error{usage} on this rank: MPI is not initialised or is finalised, or comm is MPI_COMM_NULL.
  // * CollectiveError{usage} on all ranks: the world size of the grid is not the size of comm.
  // * CollectiveError{mismatch} on all ranks: ranks pass different grids or axes.
  // * Error{timeout} on the waiting ranks: a rank does not take part in the comparison of these arguments for 1800 s.
  // MPI_Comm_split, which comes first and last, has no deadline.
  GroupComm(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes);
  // Frees the communicator with MPI_Comm_free, unless MPI is finalised.
  ~GroupComm();
  GroupComm(GroupComm&&) noexcept;
  GroupComm& operator=(GroupComm&&) noexcept;
  GroupComm(const GroupComm&) = delete;
  GroupComm& operator=(const GroupComm&) = delete;

  // Local. The communicator belongs to this object, and the caller must not free it.
  [[nodiscard]] MPI_Comm handle() const;
  [[nodiscard]] int rank() const;
  [[nodiscard]] int size() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
