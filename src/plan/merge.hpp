#pragma once
// The job's state from what its ranks hold. Pure.

#include <vector>

#include "model/plan.hpp"

namespace muster::plan {

// Ranks that said the same, and what they said.
struct Voice {
  RankSet ranks;
  std::vector<TensorDescription> descriptions;
};

// Brings the descriptions of all ranks together. A tensor held whole must be held whole by every rank; parts must
// cover their tensor without gap or overlap. Throws Error{mismatch} that lists every tensor on which ranks disagree,
// with who says what.
GlobalState merge(int world_size, const std::vector<Voice>& voices);

}  // namespace muster::plan
