#pragma once
// The ranks that save and load together.

#include <algorithm>
#include <filesystem>
#include <muster/checkpoint.hpp>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::mpi {

struct Team {
  CommView comm;
  std::vector<int> node_of_rank;

  [[nodiscard]] bool is_root() const { return comm.rank() == 0; }
};

inline int node_count(const Team& team) {
  return 1 + *std::max_element(team.node_of_rank.begin(), team.node_of_rank.end());
}

}  // namespace muster::mpi
