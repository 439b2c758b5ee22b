#include "plan/rank_sets.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "base/hash.hpp"
#include "base/narrow.hpp"

namespace muster::plan {

std::uint32_t RankSets::id_of(RankSet ranks) {
  const auto hash = hash_bytes(std::as_bytes(std::span(ranks)));
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto entry = first; entry != last; ++entry) {
    if (sets_[entry->second] == ranks) return entry->second;
  }
  const auto id = narrow<std::uint32_t>(sets_.size());
  sets_.push_back(std::move(ranks));
  by_hash_.emplace(hash, id);
  return id;
}

void make_rank_set(std::vector<int>& ranks) {
  if (!std::is_sorted(ranks.begin(), ranks.end())) std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
}

}  // namespace muster::plan
