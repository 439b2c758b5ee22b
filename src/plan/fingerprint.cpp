#include "plan/fingerprint.hpp"

#include <array>

#include "base/bytes.hpp"
#include "base/hash.hpp"

namespace muster::plan {

std::uint64_t fingerprint(const State& state) {
  Hasher hasher;
  const auto add_shape = [&](const Shape& shape) {
    if (!shape.empty()) hasher.add(std::as_bytes(std::span(shape)));
  };
  for (const auto& [description, memory] : state.tensors()) {
    const auto& path = description.path;
    const auto& shape = description.shape;
    const auto& shard = description.shard;
    // Sizes first, so that no two states give the same bytes.
    const std::array<std::uint64_t, 7> numbers{path.size(),
                                               shape.size(),
                                               shard.first_element(),
                                               shard.count(),
                                               shard.boxes().size(),
                                               std::uint64_t(description.dtype),
                                               std::uint64_t(shard.kind())};
    hasher.add(std::as_bytes(std::span(numbers)));
    hasher.add(as_bytes(path));
    add_shape(shape);
    for (const auto& box : shard.boxes()) {
      const std::array<std::uint64_t, 2> dims{box.offset.size(), box.shape.size()};
      hasher.add(std::as_bytes(std::span(dims)));
      add_shape(box.offset);
      add_shape(box.shape);
    }
  }
  for (const auto& document : state.documents()) {
    const std::array<std::uint64_t, 2> sizes{document.path.size(), document.contribution.size()};
    hasher.add(std::as_bytes(std::span(sizes)));
    hasher.add(as_bytes(document.path));
    hasher.add(as_bytes(document.contribution));
  }
  return hasher.value();
}

}  // namespace muster::plan
