#pragma once
// Comparing what a program wants to load with what a checkpoint holds. Local.

#include <cstdint>
#include <memory>
#include <muster/checkpoint.hpp>
#include <string>
#include <vector>

#include "load/renamed_keys.hpp"
#include "model/catalog.hpp"
#include "model/shard_map.hpp"
#include "plan/read_plan.hpp"

namespace muster::load {

CheckpointContents contents_of(const Catalog& catalog, const RenamedKeys& seen);

// A tensor to be filled: the catalog's index, where the wanted bytes lie in it, and where they go.
struct Destination {
  plan::ReadRequest request;  // with a map: all of the tensor
  const TensorMemory* memory = nullptr;
  std::shared_ptr<const ShardMap> map = {};  // where what is wanted is not one range of the file
  // Of the values in the file, and of those in memory.
  DType from = DType::float32;
  DType to = DType::float32;
};

// Something in which program and checkpoint differ, as a line for people.
struct Difference {
  enum class Kind : std::uint8_t { missing, unexpected, misfit };
  Kind kind = Kind::misfit;
  std::string line;
};

struct Comparison {
  std::vector<Destination> destinations;  // by tensor
  std::vector<Difference> differences;
  // One bit for each tensor of the catalog, then one for each pattern of `only`: whether it matches anything.
  std::vector<std::uint64_t> wanted;

  // What to read for them.
  [[nodiscard]] std::vector<plan::ReadRequest> requests(const Catalog& catalog) const;
};

// All but what is unexpected, which other ranks may want.
Comparison compare(const LoadTarget& target, const Catalog& catalog, const RenamedKeys& seen,
                   const LoadOptions& options);

// Adds that, and patterns of `only` that match nothing. `wanted_by_any`: the bits of all ranks together.
void add_unwanted(Comparison& comparison, const LoadTarget& target, const RenamedKeys& seen, const LoadOptions& options,
                  const std::vector<std::uint64_t>& wanted_by_any, std::size_t tensors);

}  // namespace muster::load
