#include "plan/chunk_shape.hpp"

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

void ChunkShape::add(const Box& box) {
  for (std::size_t dim = 0; dim < shape_.size(); ++dim) {
    const auto cut = [&](std::uint64_t at) {
      // At a far edge nothing is cut. The first cut replaces the whole: nothing says that it divides it.
      if (at == 0 || at == shape_[dim]) return;
      chunk_shape_[dim] = chunk_shape_[dim] == shape_[dim] ? at : std::gcd(chunk_shape_[dim], at);
    };
    cut(box.offset[dim]);
    cut(box.offset[dim] + box.shape[dim]);
  }
}

Shape ChunkShape::shape(DType dtype) const {
  auto chunk = chunk_shape_;
  for (std::size_t dim = 0; dim < chunk.size(); ++dim) {
    // What sticks out beyond the tensor is room for nothing: the last part of torch.chunk's may be so, not half a
    // chunk.
    const auto size = shape_[dim];
    if (chunk[dim] == 0 || size % chunk[dim] == 0) continue;
    const auto padding = chunk[dim] - size % chunk[dim];
    if (padding > size / 3) chunk[dim] = std::gcd(chunk[dim], size);
  }
  for (auto& size : chunk) {
    const auto bytes = element_count(chunk) * item_bytes(dtype);
    if (bytes <= kMaxChunkBytes) break;
    size /= divisor_from(size, (bytes + kMaxChunkBytes - 1) / kMaxChunkBytes);
  }
  return chunk;
}

}  // namespace muster::plan
