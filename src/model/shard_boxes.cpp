#include "model/shard_boxes.hpp"

#include <algorithm>
#include <utility>

namespace muster {

namespace {

// Cuts a range of the row-major elements into boxes: what is left of a row, whole rows, the beginning of a row.
class RangeCutter {
 public:
  explicit RangeCutter(const Shape& shape) : shape_(shape) {}

  // Elements [first, first + count) of the sub-box that begins at `start` in the dims from `dim` on.
  void add(std::size_t dim, const Shape& start, std::uint64_t first, std::uint64_t count) {
    if (count == 0) return;
    std::uint64_t row = 1;
    for (std::size_t inner = dim + 1; inner < shape_.size(); ++inner) row *= shape_[inner];
    const auto inside = [&](std::uint64_t index) {
      auto at = start;
      at[dim] = index;
      return at;
    };
    if (first % row != 0) {
      const auto part = std::min(count, row - first % row);
      add(dim + 1, inside(first / row), first % row, part);
      first += part;
      count -= part;
    }
    if (const auto rows = count / row; rows > 0) {
      add_rows(dim, inside(first / row), rows);
      first += rows * row;
      count -= rows * row;
    }
    if (count > 0) add(dim + 1, inside(first / row), 0, count);
  }

  [[nodiscard]] std::vector<ShardBox> take() { return std::move(boxes_); }

 private:
  void add_rows(std::size_t dim, Shape start, std::uint64_t rows) {
    Shape extent(shape_.size(), 1);
    extent[dim] = rows;
    for (std::size_t inner = dim + 1; inner < shape_.size(); ++inner) extent[inner] = shape_[inner];
    const auto elements = element_count(extent);
    boxes_.push_back({{std::move(start), std::move(extent)}, done_});
    done_ += elements;
  }

  const Shape& shape_;
  std::uint64_t done_ = 0;
  std::vector<ShardBox> boxes_;
};

std::vector<ShardBox> placed(const std::vector<Box>& boxes) {
  std::vector<ShardBox> all;
  std::uint64_t first = 0;
  for (const auto& box : boxes) {
    const auto elements = element_count(box.shape);
    if (elements > 0) all.push_back({box, first});
    first += elements;
  }
  return all;
}

}  // namespace

std::vector<ShardBox> boxes_of(const Shard& shard, const Shape& global_shape) {
  const auto range = contiguous_range(shard, global_shape);  // checks the shard
  if (range && range->count == 0) return {};
  if (!range || shard.kind() == Shard::Kind::block) return placed(shard.boxes());
  if (range->count == element_count(global_shape)) return {{{Shape(global_shape.size(), 0), global_shape}, 0}};
  RangeCutter cutter(global_shape);
  cutter.add(0, Shape(global_shape.size(), 0), range->first, range->count);
  return cutter.take();
}

std::uint64_t elements_held(const Shard& shard, const Shape& global_shape) {
  if (const auto range = contiguous_range(shard, global_shape)) return range->count;
  std::uint64_t elements = 0;
  for (const auto& box : shard.boxes()) elements += element_count(box.shape);
  return elements;
}

}  // namespace muster
