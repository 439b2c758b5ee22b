#pragma once
// How many H5Dwrite calls the engine `collective` is to make, counted from what the file says.

#include <cstdint>

#include "model/catalog.hpp"

namespace muster::test {

struct Transfers {
  std::uint64_t collective = 0;   // of all ranks together, for datasets that several write
  std::uint64_t independent = 0;  // of this rank, for those that it writes alone
};

Transfers expected_transfers(const Catalog& catalog, int rank);

}  // namespace muster::test
