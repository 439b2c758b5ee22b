#pragma once
// The union of the ranks of several groups. Pure.

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/plan.hpp"

namespace muster::plan {

// The same groups are united again and again (for every tensor of a model), so each union is kept, and each distinct
// set of ranks once.
class RankSetUnions {
 public:
  // The ranks of each group; they must outlive this.
  explicit RankSetUnions(std::vector<const RankSet*> groups) : groups_(std::move(groups)) {}

  // `groups` are indices; the order matters to speed alone.
  const RankSet& ranks_of(std::span<const std::uint32_t> groups);
  // Of the set of their ranks, numbered in the order in which sets are first asked for.
  std::uint32_t id_of(std::span<const std::uint32_t> groups);
  // The sets by number.
  std::vector<RankSet> take() { return std::move(sets_); }

 private:
  struct Union {
    RankSet ranks;  // empty for a single group, whose ranks are known
    std::optional<std::uint32_t> id;
  };
  struct Hash {
    std::size_t operator()(const std::vector<std::uint32_t>& groups) const;
  };

  Union& union_of(std::span<const std::uint32_t> groups);
  std::uint32_t set_id(const RankSet& ranks);

  std::vector<const RankSet*> groups_;
  std::vector<std::uint32_t> key_;
  std::unordered_map<std::vector<std::uint32_t>, Union, Hash> unions_;
  std::vector<RankSet> sets_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> set_by_hash_;
};

// Sorts the ranks and drops repetitions.
void make_rank_set(std::vector<int>& ranks);

}  // namespace muster::plan
