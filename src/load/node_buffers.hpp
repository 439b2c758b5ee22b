#pragma once
// Buffers of a rank that the other ranks of its node see, so that what one reads the others need not be sent.

#include <cstddef>
#include <span>
#include <vector>

#include "base/shared_memory.hpp"
#include "mpi/team.hpp"

namespace muster::load {

class NodeBuffers {
 public:
  // Collective. So many bytes of this rank, or none. Where any rank cannot have its own, or cannot see another's of its
  // node, none has any: are_shared() is false on all of them.
  NodeBuffers(const mpi::Team& team, std::size_t bytes);

  [[nodiscard]] bool are_shared() const { return are_shared_; }
  [[nodiscard]] std::span<std::byte> own() const { return own_.bytes(); }
  // Of a rank of this node. The program sees to it that nobody writes what others read.
  [[nodiscard]] std::span<const std::byte> of(int rank) const {
    return others_[static_cast<std::size_t>(rank)].bytes();
  }

 private:
  bool are_shared_ = false;
  SharedMemory own_;
  std::vector<SharedMemory> others_;  // by rank; empty for this one, for those of other nodes, and for those without
};

}  // namespace muster::load
