#pragma once
// The communicators of a grid's groups: what a program sends among the ranks of one.

#include <mpi.h>

#include <initializer_list>
#include <memory>
#include <muster/export.hpp>
#include <muster/grid.hpp>

namespace MUSTER_EXPORT muster {

// The communicator of one group of a ParallelGrid. Move-only; frees it in the end, unless MPI is finalised by then.
//
//     const muster::ParallelGrid grid({.tensor = 4, .pipeline = 2}, world_size);
//     const muster::GroupComm tensor_group(MPI_COMM_WORLD, grid, {muster::Axis::tensor});
//     MPI_Allreduce(..., tensor_group.handle());
class GroupComm {
 public:
  // Collective over comm, on which every rank passes the same grid and axes. The ranks of the new communicator are
  // grid.group(rank in comm, axes), in that order; with no axis each rank has one of its own. Its errors return.
  // Throws Error{usage} where MPI does not run; CollectiveError{usage} on all ranks where the grid is not one of comm's
  // size, CollectiveError{mismatch} where the ranks pass different ones or different axes, Error{timeout} where some do
  // not call for half an hour.
  GroupComm(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes);
  // Local.
  ~GroupComm();
  GroupComm(GroupComm&&) noexcept;
  GroupComm& operator=(GroupComm&&) noexcept;
  GroupComm(const GroupComm&) = delete;
  GroupComm& operator=(const GroupComm&) = delete;

  // Local. Belongs to this object: do not free it.
  [[nodiscard]] MPI_Comm handle() const;
  [[nodiscard]] int rank() const;
  [[nodiscard]] int size() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
