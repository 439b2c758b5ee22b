#include "support/transfers.hpp"

#include <algorithm>
#include <map>

namespace muster::test {

Transfers expected_transfers(const Catalog& catalog, int rank) {
  std::map<std::uint32_t, std::map<int, std::uint64_t>> extents_of_writer;
  for (const auto& extent : catalog.extents) ++extents_of_writer[extent.tensor][extent.writer];
  Transfers expected;
  for (const auto& [tensor, extents] : extents_of_writer) {
    if (extents.size() == 1) {
      if (extents.contains(rank)) expected.independent += extents.at(rank);
      continue;
    }
    std::uint64_t rounds = 0;
    for (const auto& [writer, count] : extents) rounds = std::max(rounds, count);
    expected.collective += rounds;
  }
  return expected;
}

}  // namespace muster::test
