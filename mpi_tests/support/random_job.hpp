#pragma once
// Jobs of a few simulated ranks that hold tensors between them, drawn at random. Local.

#include <muster/grid.hpp>
#include <muster/state.hpp>
#include <vector>

#include "support/sample.hpp"

namespace muster::test {

// What each rank holds, by rank.
using HeldByRanks = std::vector<std::vector<ShardDescription>>;

struct RandomJob {
  Grid grid = {};
  int ranks = 1;
  HeldByRanks held;
};

// Up to `most` tensors of any dtype, of 0 to 4 dimensions, some without elements; all of them whole.
std::vector<TensorDescription> random_tensors(Random& random, std::uint64_t most);

// Of 1 to 8 ranks in any grid and order of axes, which together hold every element. Each tensor is, on all ranks or on
// those of some pipeline stages and expert groups: whole; cut by a rule over axes of the grid; or cut among groups of
// ranks that hold replicas of each other, in chunks of one or two dimensions, fused ones, boxes of any size (one or
// several for a group), ranges of elements, or ZeRO's shares of any of these.
RandomJob random_job(Random& random, const std::vector<TensorDescription>& tensors);

// What ranks might ask for: all of a tensor, any part of it, or nothing; overlapping, with gaps.
HeldByRanks random_wishes(Random& random, const std::vector<TensorDescription>& tensors);

}  // namespace muster::test
