#include "plan/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <numeric>
#include <span>
#include <tuple>

#include "base/narrow.hpp"
#include "base/rank_text.hpp"
#include "plan/choirs.hpp"

namespace muster::plan {

namespace {

constexpr std::size_t kMaxProblems = 20;

RankSet without(const RankSet& all, const RankSet& some) {
  RankSet rest;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(rest));
  return rest;
}

std::vector<const RankSet*> pointers_to(const std::vector<RankSet>& sets) {
  std::vector<const RankSet*> pointers;
  for (const auto& set : sets) pointers.push_back(&set);
  return pointers;
}

}  // namespace

// Makes global tensors of claims, tensor by tensor.
class Merger::Settling {
 public:
  Settling(int world_size, const std::vector<RankSet>& voices) : voices_(voices), choirs_(pointers_to(voices)) {
    state_.world_size = world_size;
  }

  // `claims` by range, then by voice.
  void add(const Named& tensor, std::span<const Claim> claims) {
    const auto& [path, versions] = tensor;
    if (versions.size() > 1) {
      problem(path, versions_text(tensor, claims));
      return;
    }
    if (!std::all_of(claims.begin(), claims.end(), [](const auto& claim) { return claim.is_contiguous; })) {
      problem(path, "a shard that is not one contiguous range of elements");
      return;
    }
    const auto& [dtype, shape, is_whole] = versions.front();
    if (is_whole) {
      const auto& holders = choirs_.ranks_of(voices_of(claims));
      if (holders.size() != static_cast<std::size_t>(state_.world_size)) {
        problem(path,
                fmt::format("held by {}, missing on {}", rank_text(holders), rank_text(without(everyone(), holders))));
        return;
      }
    }
    std::vector<Holding> holdings;
    std::uint64_t covered = 0;
    for (std::size_t last = 0; last < claims.size();) {
      const auto first = last;
      const auto range = claims[first].range;
      while (last < claims.size() && claims[last].range == range) ++last;
      if (range.count == 0) continue;
      const auto together = voices_of(claims.subspan(first, last - first));
      if (range.first != covered) {
        const bool gap = range.first > covered;
        problem(path, fmt::format("elements [{}, {}) are held {} ({})", std::min(covered, range.first),
                                  std::max(covered, range.first), gap ? "by no rank" : "in two different parts",
                                  rank_text(choirs_.ranks_of(together))));
        return;
      }
      covered += range.count;
      holdings.push_back({range, choirs_.id_of(together)});
    }
    if (const auto elements = element_count(shape); covered != elements) {
      problem(path, fmt::format("elements [{}, {}) are held by no rank", covered, elements));
      return;
    }
    holdings.shrink_to_fit();
    state_.tensors.push_back({path, dtype, shape, std::move(holdings)});
  }

  GlobalState finish() {
    state_.rank_sets = choirs_.take();
    if (problem_count_ == 0) return std::move(state_);
    if (problem_count_ > kMaxProblems) {
      problems_ += fmt::format("; and {} more", problem_count_ - kMaxProblems);
    }
    throw Error(ErrorKind::mismatch, "the ranks do not hold the same state: " + problems_);
  }

 private:
  std::string versions_text(const Named& tensor, std::span<const Claim> claims) {
    std::map<std::string, RankSet> who_says;
    for (const auto& claim : claims) {
      const auto& [dtype, shape, is_whole] = tensor.versions[claim.version];
      auto& who = who_says[fmt::format("{} {}{}", name(dtype), to_string(shape), is_whole ? "" : " in parts")];
      who.insert(who.end(), voices_[claim.voice].begin(), voices_[claim.voice].end());
    }
    std::string text;
    for (auto& [version, ranks] : who_says) {
      make_rank_set(ranks);
      text += fmt::format("{}{} on {}", text.empty() ? "" : ", ", version, rank_text(ranks));
    }
    return text;
  }

  // Good until the next call.
  std::span<const std::uint32_t> voices_of(std::span<const Claim> claims) {
    together_.clear();
    for (const auto& claim : claims) together_.push_back(claim.voice);
    return together_;
  }

  [[nodiscard]] RankSet everyone() const {
    RankSet ranks(static_cast<std::size_t>(state_.world_size));
    std::iota(ranks.begin(), ranks.end(), 0);
    return ranks;
  }

  void problem(const std::string& path, const std::string& text) {
    if (problem_count_++ < kMaxProblems) problems_ += (problems_.empty() ? "" : "; ") + path + ": " + text;
  }

  const std::vector<RankSet>& voices_;
  Choirs choirs_;
  GlobalState state_;
  std::vector<std::uint32_t> together_;
  std::string problems_;
  std::size_t problem_count_ = 0;
};

void Merger::add(RankSet ranks, const std::vector<TensorDescription>& descriptions) {
  const auto voice = narrow<std::uint32_t>(voices_.size());
  voices_.push_back(std::move(ranks));
  for (const auto& [path, dtype, shape, shard] : descriptions) {
    auto known = index_.find(path);
    if (known == index_.end()) {
      const auto& tensor = tensors_.emplace_back(Named{path, {}});
      known = index_.emplace(tensor.path, narrow<std::uint32_t>(tensors_.size() - 1)).first;
    }
    auto& versions = tensors_[known->second].versions;
    const bool is_whole = shard.kind() == Shard::Kind::whole;
    const auto version = std::find_if(versions.begin(), versions.end(), [&](const auto& other) {
      return other.dtype == dtype && other.shape == shape && other.is_whole == is_whole;
    });
    const auto number = static_cast<std::uint32_t>(version - versions.begin());
    if (version == versions.end()) versions.push_back({dtype, shape, is_whole});
    const auto range = contiguous_range(shard, shape);
    claims_.push_back({known->second, number, voice, range.has_value(), range.value_or(ElementRange{})});
  }
}

GlobalState Merger::finish() {
  std::vector<std::uint32_t> by_path(tensors_.size());
  std::iota(by_path.begin(), by_path.end(), std::uint32_t{0});
  std::sort(by_path.begin(), by_path.end(), [&](auto a, auto b) { return tensors_[a].path < tensors_[b].path; });
  std::vector<std::uint32_t> place(tensors_.size());
  for (std::uint32_t i = 0; i < by_path.size(); ++i) place[by_path[i]] = i;
  for (auto& claim : claims_) claim.tensor = place[claim.tensor];
  std::sort(claims_.begin(), claims_.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.tensor, a.range.first, a.range.count, a.voice) <
           std::tie(b.tensor, b.range.first, b.range.count, b.voice);
  });
  Settling settling(world_size_, voices_);
  for (auto first = claims_.begin(); first != claims_.end();) {
    const auto last =
        std::find_if(first, claims_.end(), [&](const auto& claim) { return claim.tensor != first->tensor; });
    settling.add(tensors_[by_path[first->tensor]], {first, last});
    first = last;
  }
  return settling.finish();
}

GlobalState merge(int world_size, const std::vector<Voice>& voices) {
  Merger merger(world_size);
  for (const auto& [ranks, descriptions] : voices) merger.add(ranks, descriptions);
  return merger.finish();
}

}  // namespace muster::plan
