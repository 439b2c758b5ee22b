#include "plan/tiling.hpp"

#include <algorithm>
#include <numeric>

namespace muster::plan {

namespace {

// The smallest divisor of `size` that is at least `wanted`, at most `size`.
std::uint64_t divisor_from(std::uint64_t size, std::uint64_t wanted) {
  auto best = size;
  for (std::uint64_t divisor = 1; divisor <= size / divisor; ++divisor) {
    if (size % divisor != 0) continue;
    for (const auto candidate : {divisor, size / divisor}) {
      if (candidate >= wanted) best = std::min(best, candidate);
    }
  }
  return best;
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
  for (std::size_t dim = 0; dim < tile.size(); ++dim) {
    // What sticks out beyond the tensor is room for nothing: the last part of torch.chunk's may be so, not half a tile.
    const auto size = shape_[dim];
    if (tile[dim] == 0 || size % tile[dim] == 0) continue;
    const auto padding = tile[dim] - size % tile[dim];
    if (padding > size / 3) tile[dim] = std::gcd(tile[dim], size);
  }
  for (auto& size : tile) {
    const auto bytes = element_count(tile) * item_bytes(dtype);
    if (bytes <= kMaxTileBytes) break;
    size /= divisor_from(size, (bytes + kMaxTileBytes - 1) / kMaxTileBytes);
  }
  return tile;
}

}  // namespace muster::plan
