#pragma once
// Lists of ranks for people: "rank 3", "ranks 0-2, 5".

#include <string>
#include <vector>

namespace muster {

// `ranks` ascending.
std::string rank_text(const std::vector<int>& ranks);

}  // namespace muster
