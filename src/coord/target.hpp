#pragma once
// Comparing what a program wants to load with what a checkpoint holds. Local.

#include <memory>
#include <muster/checkpoint.hpp>
#include <vector>

#include "model/catalog.hpp"
#include "model/shard_map.hpp"
#include "plan/read_plan.hpp"

namespace muster::coord {

CheckpointContents contents_of(const Catalog& catalog);

// A tensor to be filled: the catalog's index, where the wanted bytes lie in it, and where they go.
struct Destination {
  plan::Want want;  // with a map: all of the tensor
  const TensorMemory* memory = nullptr;
  std::shared_ptr<const ShardMap> map = {};  // where what is wanted is not one range of the file
};

struct Comparison {
  std::vector<Destination> destinations;  // by tensor
  std::vector<std::string> problems;      // one line each: missing, unexpected, other shape, other dtype

  // What to read for them.
  [[nodiscard]] std::vector<plan::Want> wants(const Catalog& catalog) const;
};

Comparison compare(const LoadTarget& target, const Catalog& catalog);

}  // namespace muster::coord
