#pragma once
// Extents of one writer that lie side by side, to be written as one. Pure.

#include <cstdint>
#include <vector>

#include "model/layout.hpp"

namespace muster::engine {

// Extents [first_extent, first_extent + extents) of the layout, all of one writer. What lies between two of them is
// padding that belongs to no other rank: the run is written through it, with zeros.
struct ExtentRun {
  std::size_t first_extent = 0;
  std::size_t extents = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;   // padding included
};

// The runs of a writer, by offset.
std::vector<ExtentRun> extent_runs(const Layout& layout, int writer);

}  // namespace muster::engine
