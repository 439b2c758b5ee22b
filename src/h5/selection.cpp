#include "h5/selection.hpp"

#include <algorithm>
#include <vector>

namespace muster::h5 {

namespace {

class Selector {
 public:
  Selector(const Dataspace& space, const Shape& shape) : space_(space), shape_(shape) {}

  // Elements [first, first + count) of the sub-box that begins at `start` in the dims from `dim` on.
  void add(std::size_t dim, std::vector<hsize_t> start, std::uint64_t first, std::uint64_t count) {
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
      box(dim, inside(first / row), rows);
      first += rows * row;
      count -= rows * row;
    }
    if (count > 0) add(dim + 1, inside(first / row), 0, count);
  }

 private:
  // `rows` of dim `dim`, all of the dims behind it.
  void box(std::size_t dim, const std::vector<hsize_t>& start, std::uint64_t rows) {
    std::vector<hsize_t> extent(shape_.size(), 1);
    extent[dim] = rows;
    for (std::size_t inner = dim + 1; inner < shape_.size(); ++inner) extent[inner] = shape_[inner];
    check(H5Sselect_hyperslab(space_.get(), any_ ? H5S_SELECT_OR : H5S_SELECT_SET, start.data(), nullptr, extent.data(),
                              nullptr),
          "H5Sselect_hyperslab");
    any_ = true;
  }

  const Dataspace& space_;
  const Shape& shape_;
  bool any_ = false;
};

}  // namespace

void select_range(const Dataspace& space, const Shape& shape, const ElementRange& range) {
  if (range.count == 0) {
    check(H5Sselect_none(space.get()), "H5Sselect_none");
  } else if (range.first == 0 && range.count == element_count(shape)) {
    check(H5Sselect_all(space.get()), "H5Sselect_all");
  } else {
    Selector(space, shape).add(0, std::vector<hsize_t>(shape.size(), 0), range.first, range.count);
  }
}

}  // namespace muster::h5
