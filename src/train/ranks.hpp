#pragma once
// The ranks of the job as a grid, and the groups that this rank works in.

#include <muster/grid.hpp>
#include <muster/group_comm.hpp>

#include "mpi/comm.hpp"

namespace muster::train {

class Ranks {
 public:
  // Collective over world. Throws the same AgreedError{usage} on all ranks where the grid does not fit the world.
  Ranks(const mpi::CommView& world, const Grid& grid);
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  [[nodiscard]] const ParallelGrid& grid() const { return grid_; }
  [[nodiscard]] const mpi::CommView& world() const { return world_; }
  // The groups of this rank; its number in each is its coordinate. Valid as long as this lives.
  [[nodiscard]] const mpi::CommView& tensor() const { return tensor_; }      // hold parts of the same layers
  [[nodiscard]] const mpi::CommView& pipeline() const { return pipeline_; }  // the stages that pass on a sequence
  [[nodiscard]] const mpi::CommView& data() const { return data_; }          // hold the same, for other sequences
  // Whether each rank has all of the model: then forward and backward need no other rank.
  [[nodiscard]] bool model_is_whole() const { return tensor_.size() == 1 && pipeline_.size() == 1; }

 private:
  mpi::CommView world_;
  ParallelGrid grid_;
  GroupComm tensor_owner_;
  GroupComm pipeline_owner_;
  GroupComm data_owner_;
  mpi::CommView tensor_;
  mpi::CommView pipeline_;
  mpi::CommView data_;
};

}  // namespace muster::train
