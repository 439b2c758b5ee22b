#pragma once
// Shapes in messages between ranks.

#include <cstdint>
#include <muster/state.hpp>

#include "base/bytes.hpp"

namespace muster {

inline void put_shape(ByteWriter& writer, const Shape& shape) {
  writer.put(std::uint64_t{shape.size()});
  for (const auto dim : shape) writer.put(dim);
}

// Throws Error{internal} where the message is too short.
inline Shape get_shape(ByteReader& reader) {
  Shape shape;
  const auto dims = reader.get<std::uint64_t>();
  for (std::uint64_t dim = 0; dim < dims; ++dim) shape.push_back(reader.get<std::uint64_t>());
  return shape;
}

}  // namespace muster
