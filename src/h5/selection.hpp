#pragma once
// Selecting elements of a dataset.

#include <muster/state.hpp>

#include "h5/handle.hpp"
#include "model/shard_boxes.hpp"

namespace muster::h5 {

// Makes elements [range.first, range.first + range.count) the selection of `space`, whose shape is `shape`: a union
// of at most 2 x dims - 1 boxes, in row-major order. An empty range selects nothing.
void select_range(const Dataspace& space, const Shape& shape, const ElementRange& range);

// The box alone, or added to what is selected. Of at least one dimension and one element.
void select_box(const Dataspace& space, const Box& box, H5S_seloper_t how);

}  // namespace muster::h5
