#include "h5/selection.hpp"

#include <vector>

#include "model/shard_boxes.hpp"

namespace muster::h5 {

void select_range(const Dataspace& space, const Shape& shape, const ElementRange& range) {
  if (range.count == 0) {
    check(H5Sselect_none(space.get()), "H5Sselect_none");
    return;
  }
  if (range.first == 0 && range.count == element_count(shape)) {
    check(H5Sselect_all(space.get()), "H5Sselect_all");
    return;
  }
  auto how = H5S_SELECT_SET;
  for (const auto& part : boxes_of(Shard::flat(range.first, range.count), shape)) {
    select_box(space, part.box, how);
    how = H5S_SELECT_OR;
  }
}

void select_box(const Dataspace& space, const Box& box, H5S_seloper_t how) {
  const std::vector<hsize_t> start(box.offset.begin(), box.offset.end());
  const std::vector<hsize_t> count(box.shape.begin(), box.shape.end());
  check(H5Sselect_hyperslab(space.get(), how, start.data(), nullptr, count.data(), nullptr), "H5Sselect_hyperslab");
}

}  // namespace muster::h5
