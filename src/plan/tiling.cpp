#include "plan/tiling.hpp"

#include <numeric>

namespace muster::plan {

namespace {

// The smallest divisor of `size` that is at least `wanted`, at most `size`.
std::uint64_t divisor_from(std::uint64_t size, std::uint64_t wanted) {
  for (auto divisor = wanted; divisor < size; ++divisor) {
    if (size % divisor == 0) return divisor;
  }
  return size;
}

}  // namespace

void Tiling::add(const Box& box) {
  for (std::size_t dim = 0; dim < shape_.size(); ++dim) {
    const auto cut = [&](std::uint64_t at) {
      // At a far edge nothing is cut. The first cut replaces the whole: nothing says that it divides it.
      if (at == 0 || at == shape_[dim]) return;
      tile_[dim] = tile_[dim] == shape_[dim] ? at : std::gcd(tile_[dim], at);
    };
    cut(box.offset[dim]);
    cut(box.offset[dim] + box.shape[dim]);
  }
}

Shape Tiling::tile(DType dtype) const {
  auto tile = tile_;
  for (auto& size : tile) {
    const auto bytes = element_count(tile) * item_bytes(dtype);
    if (bytes <= kMaxTileBytes) break;
    size /= divisor_from(size, (bytes + kMaxTileBytes - 1) / kMaxTileBytes);
  }
  return tile;
}

}  // namespace muster::plan
