#include "model/storage_order.hpp"

#include <algorithm>
#include <muster/error.hpp>

namespace muster {

namespace {

// Of row-major order, in elements.
Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (std::size_t dim = shape.size(); dim-- > 1;) strides[dim - 1] = strides[dim] * shape[dim];
  return strides;
}

std::uint64_t product(const Shape& shape) {
  std::uint64_t all = 1;
  for (const auto size : shape) all *= size;
  return all;
}

// Calls `visit` with every index below `sizes`, the last dimension first.
template <class VisitIndex>
void for_each_index(const Shape& sizes, VisitIndex&& visit) {
  if (std::ranges::find(sizes, std::uint64_t{0}) != sizes.end()) return;
  Shape index(sizes.size(), 0);
  for (;;) {
    visit(index);
    std::size_t dim = sizes.size();
    while (dim > 0 && ++index[dim - 1] == sizes[dim - 1]) index[--dim] = 0;
    if (dim == 0) return;
  }
}

}  // namespace

StorageOrder::StorageOrder(Shape shape, Shape tile) : shape_(std::move(shape)), tile_(std::move(tile)) {
  if (tile_.size() != shape_.size()) {
    throw Error(ErrorKind::usage, "a tile of " + to_string(tile_) + " in a tensor of " + to_string(shape_));
  }
  if (element_count(shape_) == 0) {
    tile_ = shape_;
    return;
  }
  for (std::size_t dim = 0; dim < shape_.size(); ++dim) {
    if (tile_[dim] == 0) {
      throw Error(ErrorKind::usage, "a tile of " + to_string(tile_) + " in a tensor of " + to_string(shape_));
    }
    tile_[dim] = std::min(tile_[dim], shape_[dim]);
    tiles_.push_back((shape_[dim] + tile_[dim] - 1) / tile_[dim]);
  }
  tile_elements_ = element_count(tile_);
  elements_ = product(tiles_) * tile_elements_;
}

// The runs of one box, tile by tile.
class StorageOrder::Walk {
 public:
  Walk(const StorageOrder& order, const Box& box, const ElementRange& in_file, const Visit& visit)
      : order_(order),
        box_(box),
        first_(in_file.first),
        last_(in_file.first + in_file.count),
        visit_(visit),
        in_tile_(strides_of(order.tile_)),
        in_box_(strides_of(box.shape)) {}

  void tiles() {
    const auto dims = order_.shape_.size();
    Shape first(dims);
    Shape count(dims);
    for (std::size_t dim = 0; dim < dims; ++dim) {
      if (box_.shape[dim] == 0) return;
      first[dim] = box_.offset[dim] / order_.tile_[dim];
      count[dim] = (box_.offset[dim] + box_.shape[dim] - 1) / order_.tile_[dim] - first[dim] + 1;
    }
    const auto strides = strides_of(order_.tiles_);
    for_each_index(count, [&](const Shape& index) {
      std::uint64_t number = 0;
      Shape offset(dims);
      for (std::size_t dim = 0; dim < dims; ++dim) {
        number += (first[dim] + index[dim]) * strides[dim];
        offset[dim] = (first[dim] + index[dim]) * order_.tile_[dim];
      }
      one_tile(number * order_.tile_elements_, offset);
    });
    flush();
  }

 private:
  // What lies in both the box and the tile that begins at this element of the file and of the tensor.
  void one_tile(std::uint64_t start, const Shape& offset) {
    if (start >= last_ || start + order_.tile_elements_ <= first_) return;
    const auto dims = offset.size();
    Shape begin(dims);
    Shape size(dims);
    for (std::size_t dim = 0; dim < dims; ++dim) {
      begin[dim] = std::max(box_.offset[dim], offset[dim]);
      const auto end = std::min(box_.offset[dim] + box_.shape[dim], offset[dim] + order_.tile_[dim]);
      size[dim] = end - begin[dim];
    }
    // Trailing dimensions in which both are whole make one run of each row before them.
    std::uint64_t run = 1;
    std::size_t outer = dims;
    while (outer > 0) {
      const auto dim = --outer;
      run *= size[dim];
      if (size[dim] != order_.tile_[dim] || size[dim] != box_.shape[dim]) break;
    }
    const Shape rows(size.begin(), size.begin() + static_cast<std::ptrdiff_t>(outer));
    for_each_index(rows, [&](const Shape& row) {
      StorageRun found{.in_file = start, .in_box = 0, .count = run};
      for (std::size_t dim = 0; dim < dims; ++dim) {
        const auto at = begin[dim] + (dim < outer ? row[dim] : 0);
        found.in_file += (at - offset[dim]) * in_tile_[dim];
        found.in_box += (at - box_.offset[dim]) * in_box_[dim];
      }
      add(found);
    });
  }

  // Cut to the range, and joined with the one before where it goes on.
  void add(StorageRun run) {
    const auto first = std::max(run.in_file, first_);
    const auto last = std::min(run.in_file + run.count, last_);
    if (first >= last) return;
    run = {.in_file = first, .in_box = run.in_box + (first - run.in_file), .count = last - first};
    if (open_.count > 0 && open_.in_file + open_.count == run.in_file && open_.in_box + open_.count == run.in_box) {
      open_.count += run.count;
      return;
    }
    flush();
    open_ = run;
  }

  void flush() {
    if (open_.count > 0) visit_(open_);
    open_ = {};
  }

  const StorageOrder& order_;
  const Box& box_;
  const std::uint64_t first_;
  const std::uint64_t last_;
  const Visit& visit_;
  const Shape in_tile_;
  const Shape in_box_;
  StorageRun open_;
};

void StorageOrder::visit_runs(const Box& box, const ElementRange& in_file, const Visit& visit) const {
  Walk(*this, box, in_file, visit).tiles();
}

std::optional<ElementRange> StorageOrder::range_of(const Box& box) const {
  if (product(box.shape) == 0) return ElementRange{};
  // First and last element in the file, and how much of what lies between is the tensor's.
  std::uint64_t first = elements_;
  std::uint64_t last = 0;
  std::uint64_t in_box = 0;
  visit_runs(box, {0, elements_}, [&](const StorageRun& run) {
    first = std::min(first, run.in_file);
    last = std::max(last, run.in_file + run.count);
    in_box += run.count;
  });
  const Box all{Shape(shape_.size(), 0), shape_};
  std::uint64_t of_tensor = 0;
  visit_runs(all, {first, last - first}, [&](const StorageRun& run) { of_tensor += run.count; });
  if (of_tensor != in_box) return std::nullopt;
  return ElementRange{first, last - first};
}

}  // namespace muster
