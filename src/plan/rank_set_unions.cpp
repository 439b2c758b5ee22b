#include "plan/rank_set_unions.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "base/narrow.hpp"

namespace muster::plan {

std::size_t RankSetUnions::Hash::operator()(const std::vector<std::uint32_t>& groups) const {
  return hash_bytes(std::as_bytes(std::span(groups)));
}

const RankSet& RankSetUnions::ranks_of(std::span<const std::uint32_t> groups) {
  return groups.size() == 1 ? *groups_[groups.front()] : union_of(groups).ranks;
}

std::uint32_t RankSetUnions::id_of(std::span<const std::uint32_t> groups) {
  auto& known = union_of(groups).id;
  if (!known) known = set_id(ranks_of(groups));
  return *known;
}

RankSetUnions::Union& RankSetUnions::union_of(std::span<const std::uint32_t> groups) {
  key_.assign(groups.begin(), groups.end());
  const auto [entry, added] = unions_.try_emplace(key_);
  if (added && groups.size() > 1) {
    auto& ranks = entry->second.ranks;
    for (const auto group : groups) ranks.insert(ranks.end(), groups_[group]->begin(), groups_[group]->end());
    make_rank_set(ranks);
  }
  return entry->second;
}

std::uint32_t RankSetUnions::set_id(const RankSet& ranks) {
  const auto hash = hash_bytes(std::as_bytes(std::span(ranks)));
  const auto [first, last] = set_by_hash_.equal_range(hash);
  for (auto entry = first; entry != last; ++entry) {
    if (sets_[entry->second] == ranks) return entry->second;
  }
  const auto id = narrow<std::uint32_t>(sets_.size());
  sets_.push_back(ranks);
  set_by_hash_.emplace(hash, id);
  return id;
}

void make_rank_set(std::vector<int>& ranks) {
  if (!std::is_sorted(ranks.begin(), ranks.end())) std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
}

}  // namespace muster::plan
