#pragma once
// Who reads which bytes of a file and who wants them. Pure.

#include <cstdint>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"

namespace muster::plan {

// A range of bytes of a tensor's row-major bytes that a rank wants.
struct Want {
  std::uint32_t tensor = 0;  // index into Catalog::tensors
  std::uint64_t first_byte = 0;
  std::uint64_t bytes = 0;
};

// Ranks that want the same, and what.
struct Wish {
  RankSet ranks;
  std::vector<Want> wants;
};

// Extents that lie side by side in the file, read at once by one rank and handed to all that want any of them.
struct ReadUnit {
  std::uint32_t first_extent = 0;  // index into Catalog::extents
  std::uint32_t extents = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;   // up to kMaxExtentBytes, gaps included
  int reader = 0;
  RankSet wanted_by;
};

// Each extent that anybody wants is in one unit. Units go to the readers in turn, in file order, so that in round k
// each reader reads its k-th unit and the file is passed through once. `readers` is not empty.
std::vector<ReadUnit> plan_reads(const Catalog& catalog, const std::vector<Wish>& wishes, const RankSet& readers);

}  // namespace muster::plan
