#pragma once
// Which rank writes which bytes. Pure.

#include <vector>

#include "model/plan.hpp"

namespace muster::plan {

struct BalanceOptions {
  // The node of each rank; one entry a rank.
  std::vector<int> node_of_rank;
  // At most so many ranks of a node write where replicas leave a choice; 0: all of them.
  int writers_per_node = 0;
  std::uint64_t alignment_bytes = 4096;
};

// Gives every byte to one rank that holds it, so that the bytes are even over the ranks that hold them: ranges that one
// rank holds are given, then those of several ranks fill up the least loaded of these. Tensors that the same ranks
// hold are put in one order (large, then small, each by path) and cut between consecutive writers; a tensor is cut
// only into parts of at least 64 KiB at multiples of the alignment. That order is the file's, so a writer's bytes lie
// side by side.
WritePlan balance(const GlobalState& state, const BalanceOptions& options);

// Bytes that each rank writes.
std::vector<std::uint64_t> written_bytes(const WritePlan& plan);

}  // namespace muster::plan
