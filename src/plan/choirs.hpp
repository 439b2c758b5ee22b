#pragma once
// The ranks of several voices (or wishes) together. Pure.

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/plan.hpp"

namespace muster::plan {

// The same voices come together again and again (for every tensor of a model), so what they come to is kept, and each
// distinct set of ranks once.
class Choirs {
 public:
  // The ranks of each voice; they must outlive this.
  explicit Choirs(std::vector<const RankSet*> voices) : voices_(std::move(voices)) {}

  // `voices` are indices; the order matters to speed alone.
  const RankSet& ranks_of(std::span<const std::uint32_t> voices);
  // Of the set of their ranks, numbered in the order in which sets are first asked for.
  std::uint32_t id_of(std::span<const std::uint32_t> voices);
  // The sets by number.
  std::vector<RankSet> take() { return std::move(sets_); }

 private:
  struct Choir {
    RankSet ranks;  // none for a single voice, which has them itself
    std::optional<std::uint32_t> id;
  };
  struct Hash {
    std::size_t operator()(const std::vector<std::uint32_t>& voices) const;
  };

  Choir& choir(std::span<const std::uint32_t> voices);
  std::uint32_t set_id(const RankSet& ranks);

  std::vector<const RankSet*> voices_;
  std::vector<std::uint32_t> key_;
  std::unordered_map<std::vector<std::uint32_t>, Choir, Hash> choirs_;
  std::vector<RankSet> sets_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> set_by_hash_;
};

// Sorts the ranks and drops repetitions.
void make_rank_set(std::vector<int>& ranks);

}  // namespace muster::plan
