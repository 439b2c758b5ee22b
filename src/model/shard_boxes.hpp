#pragma once
// A shard as boxes of its tensor.

#include <cstdint>
#include <muster/state.hpp>
#include <vector>

namespace muster {

// A box and where it begins in the memory of its shard, in elements: it lies there row-major without gaps.
struct ShardBox {
  Box box;
  std::uint64_t first = 0;
  friend bool operator==(const ShardBox&, const ShardBox&) = default;
};

// In the order of the shard's memory, none without elements: one of whole tensors and blocks, at most 2 x dims - 1 of a
// flat range. Throws Error{usage} when the shard does not lie inside the shape.
std::vector<ShardBox> boxes_of(const Shard& shard, const Shape& global_shape);

// How many elements the shard has. Throws Error{usage} when it does not lie inside the shape.
std::uint64_t elements_held(const Shard& shard, const Shape& global_shape);

}  // namespace muster
