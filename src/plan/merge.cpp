#include "plan/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>

#include "base/rank_text.hpp"

namespace muster::plan {

namespace {

struct Claim {
  const RankSet* ranks;
  const TensorDescription* description;
};

constexpr std::size_t kMaxProblems = 20;

RankSet united(const RankSet& a, const RankSet& b) {
  RankSet both;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

RankSet all_ranks(int world_size) {
  RankSet ranks;
  for (int rank = 0; rank < world_size; ++rank) ranks.push_back(rank);
  return ranks;
}

RankSet without(const RankSet& all, const RankSet& some) {
  RankSet rest;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(rest));
  return rest;
}

class Merger {
 public:
  explicit Merger(int world_size) : everyone_(all_ranks(world_size)) { state_.world_size = world_size; }

  void add(const std::string& path, const std::vector<Claim>& claims) {
    const auto& first = *claims.front().description;
    if (disagree(path, claims)) return;
    GlobalTensor tensor{path, first.dtype, first.global_shape, {}};
    std::map<std::pair<std::uint64_t, std::uint64_t>, RankSet> ranges;
    RankSet holders;
    for (const auto& [ranks, description] : claims) {
      holders = united(holders, *ranks);
      const auto range = contiguous_range(description->shard, description->global_shape);
      if (!range) {
        problem(path, "a shard that is not one contiguous range of elements");
        return;
      }
      if (range->count == 0) continue;
      auto& known = ranges[{range->first, range->count}];
      known = united(known, *ranks);
    }
    if (first.shard.kind() == Shard::Kind::whole && holders != everyone_) {
      problem(path,
              fmt::format("held by {}, missing on {}", rank_text(holders), rank_text(without(everyone_, holders))));
      return;
    }
    std::uint64_t covered = 0;
    for (const auto& [range, ranks] : ranges) {
      if (range.first != covered) {
        const bool gap = range.first > covered;
        problem(path, fmt::format("elements [{}, {}) are held {} ({})", std::min(covered, range.first),
                                  std::max(covered, range.first), gap ? "by no rank" : "in two different parts",
                                  rank_text(ranks)));
        return;
      }
      covered += range.second;
      tensor.holdings.push_back({{range.first, range.second}, rank_set_id(ranks)});
    }
    if (const auto elements = element_count(tensor.shape); covered != elements) {
      problem(path, fmt::format("elements [{}, {}) are held by no rank", covered, elements));
      return;
    }
    state_.tensors.push_back(std::move(tensor));
  }

  GlobalState finish() {
    if (problem_count_ == 0) return std::move(state_);
    if (problem_count_ > kMaxProblems) {
      problems_ += fmt::format("; and {} more", problem_count_ - kMaxProblems);
    }
    throw Error(ErrorKind::mismatch, "the ranks do not hold the same state: " + problems_);
  }

 private:
  // Dtype, global shape and way of sharding must be the same wherever the tensor is held.
  bool disagree(const std::string& path, const std::vector<Claim>& claims) {
    std::map<std::string, RankSet> versions;
    for (const auto& [ranks, description] : claims) {
      const bool whole = description->shard.kind() == Shard::Kind::whole;
      auto& who = versions[fmt::format("{} {}{}", name(description->dtype), to_string(description->global_shape),
                                       whole ? "" : " in parts")];
      who = united(who, *ranks);
    }
    if (versions.size() == 1) return false;
    std::string text;
    for (const auto& [version, ranks] : versions) {
      text += fmt::format("{}{} on {}", text.empty() ? "" : ", ", version, rank_text(ranks));
    }
    problem(path, text);
    return true;
  }

  void problem(const std::string& path, const std::string& text) {
    if (problem_count_++ < kMaxProblems) problems_ += (problems_.empty() ? "" : "; ") + path + ": " + text;
  }

  std::uint32_t rank_set_id(const RankSet& ranks) {
    const auto [entry, added] = ids_.try_emplace(ranks, static_cast<std::uint32_t>(state_.rank_sets.size()));
    if (added) state_.rank_sets.push_back(ranks);
    return entry->second;
  }

  RankSet everyone_;
  GlobalState state_;
  std::map<RankSet, std::uint32_t> ids_;
  std::string problems_;
  std::size_t problem_count_ = 0;
};

}  // namespace

GlobalState merge(int world_size, const std::vector<Voice>& voices) {
  std::map<std::string_view, std::vector<Claim>> claims;
  for (const auto& voice : voices) {
    for (const auto& description : voice.descriptions) {
      claims[description.path].push_back({&voice.ranks, &description});
    }
  }
  Merger merger(world_size);
  for (const auto& [path, who] : claims) merger.add(std::string(path), who);
  return merger.finish();
}

}  // namespace muster::plan
