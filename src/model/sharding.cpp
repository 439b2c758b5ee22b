#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <muster/sharding.hpp>
#include <numeric>
#include <utility>

namespace muster {

namespace {

// Part of rows [first, first + rows) of dimension `dim`.
Box slice(const Shape& global_shape, std::size_t dim, const ElementRange& rows) {
  Box box{Shape(global_shape.size(), 0), global_shape};
  box.offset[dim] = rows.first;
  box.shape[dim] = rows.count;
  return box;
}

}  // namespace

ElementRange chunk(std::uint64_t size, int part, int parts) {
  if (part < 0 || part >= parts) throw Error(ErrorKind::usage, fmt::format("part {} of {}", part, parts));
  const auto count = static_cast<std::uint64_t>(parts);
  const auto chunk = size / count + (size % count == 0 ? 0 : 1);
  const auto before = static_cast<std::uint64_t>(part);
  // Not before * chunk > size: that may not fit.
  if (chunk == 0 || before >= size / chunk + (size % chunk == 0 ? 0 : 1)) return {size, 0};
  const auto first = before * chunk;
  return {first, std::min(chunk, size - first)};
}

Shard split(const Shape& global_shape, std::size_t dim, int part, int parts) {
  if (dim >= global_shape.size()) {
    throw Error(ErrorKind::usage, fmt::format("shape {} has no dimension {}", to_string(global_shape), dim));
  }
  auto box = slice(global_shape, dim, chunk(global_shape[dim], part, parts));
  return Shard::block(std::move(box.offset), std::move(box.shape));
}

Shard split_fused(const Shape& global_shape, const std::vector<std::uint64_t>& fused_rows, int part, int parts) {
  const auto rows = std::accumulate(fused_rows.begin(), fused_rows.end(), std::uint64_t{0});
  if (global_shape.empty() || rows != global_shape.front()) {
    throw Error(ErrorKind::usage,
                fmt::format("tensors of {} rows together are not fused into shape {}", rows, to_string(global_shape)));
  }
  std::vector<Box> boxes;
  std::uint64_t before = 0;
  for (const auto fused : fused_rows) {
    auto mine = chunk(fused, part, parts);
    mine.first += before;
    boxes.push_back(slice(global_shape, 0, mine));
    before += fused;
  }
  return Shard::blocks(std::move(boxes));
}

Shard split_flat(const Shape& global_shape, int part, int parts) {
  const auto [first, count] = chunk(element_count(global_shape), part, parts);
  return Shard::flat(first, count);
}

}  // namespace muster
