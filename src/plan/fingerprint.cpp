#include "plan/fingerprint.hpp"

#include "base/bytes.hpp"
#include "base/hash.hpp"

namespace muster::plan {

std::uint64_t fingerprint(const State& state) {
  Hasher hasher;
  const auto add = [&](const auto& value) { hasher.add(std::as_bytes(std::span(&value, 1))); };
  const auto add_shape = [&](const Shape& shape) {
    add(shape.size());
    hasher.add(std::as_bytes(std::span(shape)));
  };
  for (const auto& [description, memory] : state.tensors()) {
    const auto& shard = description.shard;
    add(description.path.size());
    hasher.add(as_bytes(description.path));
    add(description.dtype);
    add_shape(description.global_shape);
    add(shard.kind());
    add(shard.first_element());
    add(shard.count());
    add_shape(shard.offset());
    add_shape(shard.shape());
  }
  return hasher.value();
}

}  // namespace muster::plan
