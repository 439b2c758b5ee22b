#pragma once
// Ranks of one node that do something one after the other.

#include <optional>

#include "mpi/team.hpp"

namespace muster::mpi {

// While it lives, at most `at_once` ranks of this node have one. Every rank of the team makes one with the same
// `at_once`; without it none waits. Lowest ranks first: a rank waits for the one `at_once` placements before it on its
// node. Throws Error{timeout} where that one does not come.
class NodeSlot {
 public:
  NodeSlot(const Team& team, std::optional<int> at_once);
  // Lets the next one go, whatever has happened here.
  ~NodeSlot();
  NodeSlot(const NodeSlot&) = delete;
  NodeSlot& operator=(const NodeSlot&) = delete;

 private:
  void release_next() noexcept;

  const Team& team_;
  std::optional<int> next_;
};

}  // namespace muster::mpi
