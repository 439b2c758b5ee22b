#pragma once
// Extents of one writer that lie side by side, to be written as one. Pure.

#include <cstdint>
#include <vector>

#include "model/layout.hpp"

namespace muster::engine {

// The runs of the extents of a writer, by offset. The padding inside a run belongs to no other rank: the run is written
// through it, with zeros.
std::vector<ExtentRun> extent_runs(const Layout& layout, int writer);

}  // namespace muster::engine
