#include "plan/choirs.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "base/narrow.hpp"

namespace muster::plan {

std::size_t Choirs::Hash::operator()(const std::vector<std::uint32_t>& voices) const {
  return hash_bytes(std::as_bytes(std::span(voices)));
}

const RankSet& Choirs::ranks_of(std::span<const std::uint32_t> voices) {
  return voices.size() == 1 ? *voices_[voices.front()] : choir(voices).ranks;
}

std::uint32_t Choirs::id_of(std::span<const std::uint32_t> voices) {
  auto& known = choir(voices).id;
  if (!known) known = set_id(ranks_of(voices));
  return *known;
}

Choirs::Choir& Choirs::choir(std::span<const std::uint32_t> voices) {
  key_.assign(voices.begin(), voices.end());
  const auto [entry, added] = choirs_.try_emplace(key_);
  if (added && voices.size() > 1) {
    auto& ranks = entry->second.ranks;
    for (const auto voice : voices) ranks.insert(ranks.end(), voices_[voice]->begin(), voices_[voice]->end());
    make_rank_set(ranks);
  }
  return entry->second;
}

std::uint32_t Choirs::set_id(const RankSet& ranks) {
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
