#pragma once
// Comparing what a program wants to load with what a checkpoint holds. Local.

#include <muster/checkpoint.hpp>
#include <vector>

#include "model/catalog.hpp"
#include "plan/read_plan.hpp"

namespace muster::coord {

CheckpointContents contents_of(const Catalog& catalog);

// A tensor to be filled: the catalog's index, the byte range, and where it goes.
struct Destination {
  plan::Want want;
  const TensorMemory* memory = nullptr;
};

struct Comparison {
  std::vector<Destination> destinations;  // by tensor, then by first byte
  std::vector<std::string> problems;      // one line each: missing, unexpected, other shape, other dtype
};

Comparison compare(const LoadTarget& target, const Catalog& catalog);

}  // namespace muster::coord
