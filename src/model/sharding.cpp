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

// Appends boxes that together hold the row-major elements [first, last) of `box`, from dimension `dim` on; it has one
// row in each before. Order: that of the elements.
void append_range(const Box& box, std::size_t dim, std::uint64_t first, std::uint64_t last, std::vector<Box>& boxes) {
  if (first == last) return;
  std::uint64_t row = 1;
  for (auto inner = dim + 1; inner < box.shape.size(); ++inner) row *= box.shape[inner];
  const auto rows = [&](std::uint64_t begin, std::uint64_t end) {
    auto part = box;
    if (dim < box.shape.size()) {
      part.offset[dim] += begin;
      part.shape[dim] = end - begin;
    }
    return part;
  };
  const auto begin = first / row;
  const auto end = last / row;
  if (begin == end) return append_range(rows(begin, begin + 1), dim + 1, first % row, last % row, boxes);
  const auto full = first % row == 0 ? begin : begin + 1;
  if (full > begin) append_range(rows(begin, begin + 1), dim + 1, first % row, row, boxes);
  if (full < end) boxes.push_back(rows(full, end));
  if (last % row != 0) append_range(rows(end, end + 1), dim + 1, 0, last % row, boxes);
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

ElementRange chunk_of_rows(const Shape& shape, int part, int parts) {
  const auto [first, count] = chunk(shape.empty() ? 1 : shape.front(), part, parts);
  const auto elements = element_count(shape);
  if (elements == 0) return {0, 0};
  const auto row = shape.empty() ? 1 : elements / shape.front();
  return {first * row, count * row};
}

Shard part_of(const Shape& global_shape, const Shard& shard, const ElementRange& range) {
  const auto all = contiguous_range(shard, global_shape);  // also checks the shard
  const auto [first, count] = range;
  const auto require_inside = [&](std::uint64_t held) {
    if (first <= held && count <= held - first) return;
    throw Error(ErrorKind::usage, fmt::format("elements [{}, {}) are asked for of {}, which holds {}", first,
                                              first + count, to_string(shard), held));
  };
  if (all) {
    require_inside(all->count);
    return Shard::flat(all->first + first, count);
  }
  std::vector<Box> boxes;
  std::uint64_t before = 0;
  for (const auto& box : shard.boxes()) {
    const auto elements = element_count(box.shape);
    const auto begin = std::clamp(first, before, before + elements) - before;
    const auto end = std::clamp(first + count, before, before + elements) - before;
    append_range(box, 0, begin, end, boxes);
    before += elements;
  }
  require_inside(before);
  if (boxes.empty()) return Shard::flat(0, 0);
  if (boxes.size() == 1) return Shard::block(std::move(boxes.front().offset), std::move(boxes.front().shape));
  return Shard::blocks(std::move(boxes));
}

}  // namespace muster
