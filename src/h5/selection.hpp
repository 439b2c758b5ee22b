#pragma once
// Selecting a range of the row-major elements of a dataset.

#include <muster/state.hpp>

#include "h5/handle.hpp"

namespace muster::h5 {

// Makes elements [range.first, range.first + range.count) the selection of `space`, whose shape is `shape`: a union
// of at most 2 x dims - 1 boxes, in row-major order. An empty range selects nothing.
void select_range(const Dataspace& space, const Shape& shape, const ElementRange& range);

}  // namespace muster::h5
