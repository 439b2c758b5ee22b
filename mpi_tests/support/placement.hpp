#pragma once
// Where elements lie, one by one: an oracle that shares nothing with what it is held against.

#include <muster/state.hpp>

namespace muster::test {

// The index of the element with this row-major number.
inline Shape index_of(std::uint64_t element, const Shape& shape) {
  Shape index(shape.size());
  for (std::size_t dim = shape.size(); dim-- > 0;) {
    index[dim] = element % shape[dim];
    element /= shape[dim];
  }
  return index;
}

inline std::uint64_t number_of(const Shape& index, const Shape& shape) {
  std::uint64_t number = 0;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) number = number * shape[dim] + index[dim];
  return number;
}

// Where an element lies in the file when its tensor lies there in chunks: which chunk, and where in it.
inline std::uint64_t place_of(const Shape& index, const Shape& shape, const Shape& chunk) {
  std::uint64_t number = 0;
  std::uint64_t in_chunk = 0;
  std::uint64_t chunk_elements = 1;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    number = number * ((shape[dim] + chunk[dim] - 1) / chunk[dim]) + index[dim] / chunk[dim];
    in_chunk = in_chunk * chunk[dim] + index[dim] % chunk[dim];
    chunk_elements *= chunk[dim];
  }
  return number * chunk_elements + in_chunk;
}

// The row-major numbers of a shard's elements, in the order of its memory.
inline std::vector<std::uint64_t> elements_of(const Shard& shard, const Shape& shape) {
  const auto inside = [&](const Shape& index, const Box& box) {
    for (std::size_t dim = 0; dim < index.size(); ++dim) {
      if (index[dim] < box.offset[dim] || index[dim] >= box.offset[dim] + box.shape[dim]) return false;
    }
    return true;
  };
  std::vector<std::uint64_t> elements;
  const auto all = element_count(shape);
  for (const auto& box : shard.boxes()) {
    for (std::uint64_t i = 0; i < all; ++i) {
      if (inside(index_of(i, shape), box)) elements.push_back(i);
    }
  }
  for (std::uint64_t i = 0; i < all; ++i) {
    const bool in_range = i >= shard.first_element() && i < shard.first_element() + shard.count();
    const bool is_range = shard.kind() == Shard::Kind::flat && in_range;
    if (shard.kind() == Shard::Kind::whole || is_range) elements.push_back(i);
  }
  return elements;
}

}  // namespace muster::test
