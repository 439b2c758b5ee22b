#pragma once
// The ranks that save and load together.

#include <filesystem>
#include <muster/checkpoint.hpp>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::coord {

struct Team {
  mpi::CommView comm;
  std::vector<int> node_of_rank;
  Grid grid;  // resolved

  [[nodiscard]] bool is_root() const { return comm.rank() == 0; }
};

}  // namespace muster::coord
