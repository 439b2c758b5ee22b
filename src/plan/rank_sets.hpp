#pragma once
// Many sets of ranks, each distinct one kept once and known by a number. Pure.

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "model/plan.hpp"

namespace muster::plan {

class RankSets {
 public:
  // The number of an equal set, or the next number for a new one.
  std::uint32_t id_of(RankSet ranks);
  [[nodiscard]] const RankSet& operator[](std::uint32_t id) const { return sets_[id]; }
  std::vector<RankSet> take() { return std::move(sets_); }

 private:
  std::vector<RankSet> sets_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
};

// Sorted, each rank once.
void make_rank_set(std::vector<int>& ranks);

}  // namespace muster::plan
