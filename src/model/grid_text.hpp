#pragma once
// Grids as command lines give them.

#include <muster/grid.hpp>
#include <string_view>

namespace muster {

// "tp=2,pp=4,dp=8": the axes' names with their degrees, in any order; of those left out dp is what is left of the
// ranks, the others are 1. Not checked against a number of ranks: resolve() does that. Throws Error{usage}.
Grid parse_grid(std::string_view text);

}  // namespace muster
