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

// Walks all indices below some sizes, none of them 0, the last dimension first; may begin anywhere.
class Odometer {
 public:
  Odometer(const Shape& sizes, std::uint64_t position) : sizes_(sizes), index_(sizes.size()), left_(product(sizes)) {
    left_ -= position;
    for (std::size_t dim = sizes.size(); dim-- > 0;) {
      index_[dim] = position % sizes[dim];
      position /= sizes[dim];
    }
  }
  [[nodiscard]] bool at_end() const { return left_ == 0; }
  [[nodiscard]] const Shape& index() const { return index_; }
  void advance() {
    --left_;
    std::size_t dim = sizes_.size();
    while (dim > 0 && ++index_[dim - 1] == sizes_[dim - 1]) index_[--dim] = 0;
  }

 private:
  const Shape& sizes_;
  Shape index_;
  std::uint64_t left_;
};

// The first of [0, count) for which it does not hold, or count; it holds for none behind one for which it does not.
template <class Holds>
std::uint64_t partition_point(std::uint64_t count, Holds&& holds) {
  std::uint64_t first = 0;
  while (count > 0) {
    const auto half = count / 2;
    if (holds(first + half)) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

}  // namespace

StorageOrder::StorageOrder(Shape shape, Shape chunk_shape)
    : shape_(std::move(shape)), chunk_shape_(std::move(chunk_shape)) {
  if (chunk_shape_.empty()) chunk_shape_ = shape_;
  if (chunk_shape_.size() != shape_.size()) {
    throw Error(ErrorKind::usage, "a chunk of " + to_string(chunk_shape_) + " in a tensor of " + to_string(shape_));
  }
  if (element_count(shape_) == 0) {
    chunk_shape_ = shape_;
    return;
  }
  for (std::size_t dim = 0; dim < shape_.size(); ++dim) {
    if (chunk_shape_[dim] == 0) {
      throw Error(ErrorKind::usage, "a chunk of " + to_string(chunk_shape_) + " in a tensor of " + to_string(shape_));
    }
    chunk_shape_[dim] = std::min(chunk_shape_[dim], shape_[dim]);
    chunks_.push_back((shape_[dim] + chunk_shape_[dim] - 1) / chunk_shape_[dim]);
  }
  chunk_elements_ = element_count(chunk_shape_);
  auto padded = shape_;
  for (std::size_t dim = 0; dim < shape_.size(); ++dim) padded[dim] = chunks_[dim] * chunk_shape_[dim];
  elements_ = element_count(padded);
}

// The runs of one box, chunk by chunk, until `visit` returns false.
template <class VisitUntil>
class StorageOrder::Walk {
 public:
  Walk(const StorageOrder& order, const Box& box, const ElementRange& in_file, VisitUntil visit)
      : order_(order),
        box_(box),
        first_(in_file.first),
        last_(in_file.first + in_file.count),
        visit_(std::move(visit)),
        in_chunk_(strides_of(order.chunk_shape_)),
        in_box_(strides_of(box.shape)) {}

  void run() {
    if (first_ >= last_ || product(box_.shape) == 0) return;
    const auto dims = order_.shape_.size();
    Shape first_chunk(dims);
    Shape count(dims);
    for (std::size_t dim = 0; dim < dims; ++dim) {
      first_chunk[dim] = box_.offset[dim] / order_.chunk_shape_[dim];
      count[dim] = (box_.offset[dim] + box_.shape[dim] - 1) / order_.chunk_shape_[dim] - first_chunk[dim] + 1;
    }
    const auto strides = strides_of(order_.chunks_);
    const auto start_of = [&](const Shape& index) {
      std::uint64_t number = 0;
      for (std::size_t dim = 0; dim < dims; ++dim) number += (first_chunk[dim] + index[dim]) * strides[dim];
      return number * order_.chunk_elements_;
    };
    const auto before = partition_point(product(count), [&](std::uint64_t chunk) {
      return start_of(Odometer(count, chunk).index()) + order_.chunk_elements_ <= first_;
    });
    Shape offset(dims);
    for (Odometer chunk(count, before); !chunk.at_end() && !stopped_; chunk.advance()) {
      const auto start = start_of(chunk.index());
      if (start >= last_) break;
      for (std::size_t dim = 0; dim < dims; ++dim) {
        offset[dim] = (first_chunk[dim] + chunk.index()[dim]) * order_.chunk_shape_[dim];
      }
      visit_chunk(start, offset);
    }
    flush();
  }

 private:
  // What lies in both the box and the chunk that begins at this element of the file and of the tensor.
  void visit_chunk(std::uint64_t start, const Shape& offset) {
    const auto dims = offset.size();
    Shape begin(dims);
    Shape size(dims);
    for (std::size_t dim = 0; dim < dims; ++dim) {
      begin[dim] = std::max(box_.offset[dim], offset[dim]);
      const auto end = std::min(box_.offset[dim] + box_.shape[dim], offset[dim] + order_.chunk_shape_[dim]);
      size[dim] = end - begin[dim];
    }
    // Trailing dimensions in which both are whole make one run of each row before them.
    std::uint64_t run = 1;
    std::size_t outer = dims;
    while (outer > 0) {
      const auto dim = --outer;
      run *= size[dim];
      if (size[dim] != order_.chunk_shape_[dim] || size[dim] != box_.shape[dim]) break;
    }
    const Shape rows(size.begin(), size.begin() + static_cast<std::ptrdiff_t>(outer));
    const auto run_at = [&](const Shape& row) {
      StorageRun found{.in_file = start, .in_box = 0, .count = run};
      for (std::size_t dim = 0; dim < dims; ++dim) {
        const auto at = begin[dim] + (dim < outer ? row[dim] : 0);
        found.in_file += (at - offset[dim]) * in_chunk_[dim];
        found.in_box += (at - box_.offset[dim]) * in_box_[dim];
      }
      return found;
    };
    const auto before = partition_point(
        product(rows), [&](std::uint64_t row) { return run_at(Odometer(rows, row).index()).in_file + run <= first_; });
    for (Odometer row(rows, before); !row.at_end() && !stopped_; row.advance()) {
      const auto found = run_at(row.index());
      if (found.in_file >= last_) break;
      add(found);
    }
  }

  // Cut to the range, and joined with the one before where it goes on.
  void add(StorageRun run) {
    const auto first = std::max(run.in_file, first_);
    const auto last = std::min(run.in_file + run.count, last_);
    run = {.in_file = first, .in_box = run.in_box + (first - run.in_file), .count = last - first};
    if (open_.count > 0 && open_.in_file + open_.count == run.in_file && open_.in_box + open_.count == run.in_box) {
      open_.count += run.count;
      return;
    }
    flush();
    open_ = run;
  }

  void flush() {
    if (open_.count > 0 && !stopped_) stopped_ = !visit_(open_);
    open_ = {};
  }

  const StorageOrder& order_;
  const Box& box_;
  const std::uint64_t first_;
  const std::uint64_t last_;
  VisitUntil visit_;
  const Shape in_chunk_;
  const Shape in_box_;
  StorageRun open_;
  bool stopped_ = false;
};

void StorageOrder::visit_runs(const Box& box, const ElementRange& in_file, const Visit& visit) const {
  Walk(*this, box, in_file, [&](const StorageRun& run) {
    visit(run);
    return true;
  }).run();
}

std::optional<StorageRun> StorageOrder::first_run(const Box& box, const ElementRange& in_file) const {
  std::optional<StorageRun> found;
  Walk(*this, box, in_file, [&](const StorageRun& run) {
    found = run;
    return false;
  }).run();
  return found;
}

Box StorageOrder::chunk_at(std::uint64_t in_file) const {
  Box box{shape_, shape_};
  auto number = in_file / chunk_elements_;
  for (std::size_t dim = shape_.size(); dim-- > 0;) {
    box.offset[dim] = number % chunks_[dim] * chunk_shape_[dim];
    box.shape[dim] = std::min(chunk_shape_[dim], shape_[dim] - box.offset[dim]);
    number /= chunks_[dim];
  }
  return box;
}

std::vector<ElementRange> StorageOrder::ranges_of(const Box& box) const {
  std::vector<ElementRange> ranges;
  if (product(box.shape) == 0) return ranges;
  Shape offset;
  Shape shape;
  for (std::size_t dim = 0; dim < shape_.size(); ++dim) {
    const auto end = box.offset[dim] + box.shape[dim];
    if (box.offset[dim] % chunk_shape_[dim] != 0 || (end % chunk_shape_[dim] != 0 && end != shape_[dim])) {
      throw Error(ErrorKind::internal, to_string(Shard::block(box.offset, box.shape)) +
                                           " does not consist of chunks of " + to_string(chunk_shape_));
    }
    offset.push_back(box.offset[dim] / chunk_shape_[dim]);
    shape.push_back((end + chunk_shape_[dim] - 1) / chunk_shape_[dim] - offset.back());
  }
  // Chunks lie in the file as elements in a row-major tensor.
  const StorageOrder of_chunks(chunks_);
  of_chunks.visit_runs({offset, shape}, {0, of_chunks.elements()}, [&](const StorageRun& run) {
    const ElementRange range{run.in_file * chunk_elements_, run.count * chunk_elements_};
    if (!ranges.empty() && ranges.back().first + ranges.back().count == range.first) {
      ranges.back().count += range.count;
    } else {
      ranges.push_back(range);
    }
  });
  return ranges;
}

std::uint64_t storage_bytes(DType dtype, const Shape& shape, const Shape& chunk) {
  const auto elements = chunk.empty() ? element_count(shape) : StorageOrder(shape, chunk).elements();
  return elements * item_bytes(dtype);
}

}  // namespace muster
