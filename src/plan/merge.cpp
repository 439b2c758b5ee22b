#include "plan/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <numeric>
#include <span>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "base/narrow.hpp"
#include "base/rank_text.hpp"
#include "plan/choirs.hpp"

namespace muster::plan {

namespace {

struct Claim {
  const TensorDescription* description;
  std::uint32_t voice;
};

struct RangeClaim {
  ElementRange range;
  std::uint32_t voice = 0;
};

constexpr std::size_t kMaxProblems = 20;

RankSet without(const RankSet& all, const RankSet& some) {
  RankSet rest;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(rest));
  return rest;
}

bool is_whole(const TensorDescription& description) { return description.shard.kind() == Shard::Kind::whole; }

std::vector<const RankSet*> ranks_of_each(const std::vector<Voice>& voices) {
  std::vector<const RankSet*> ranks;
  for (const auto& voice : voices) ranks.push_back(&voice.ranks);
  return ranks;
}

class Merger {
 public:
  Merger(int world_size, const std::vector<Voice>& voices) : voices_(voices), choirs_(ranks_of_each(voices)) {
    state_.world_size = world_size;
  }

  void add(const std::string& path, std::span<const Claim> claims) {
    const auto& first = *claims.front().description;
    if (disagree(path, claims) || !find_ranges(path, claims)) return;
    if (is_whole(first)) {
      const auto& holders = choirs_.ranks_of(all_voices(claims));
      if (holders.size() != static_cast<std::size_t>(state_.world_size)) {
        problem(path,
                fmt::format("held by {}, missing on {}", rank_text(holders), rank_text(without(everyone(), holders))));
        return;
      }
    }
    GlobalTensor tensor{path, first.dtype, first.global_shape, {}};
    std::uint64_t covered = 0;
    for (auto claim = ranges_.begin(); claim != ranges_.end();) {
      const auto range = claim->range;
      together_.clear();
      for (; claim != ranges_.end() && claim->range == range; ++claim) together_.push_back(claim->voice);
      if (range.first != covered) {
        const bool gap = range.first > covered;
        problem(path, fmt::format("elements [{}, {}) are held {} ({})", std::min(covered, range.first),
                                  std::max(covered, range.first), gap ? "by no rank" : "in two different parts",
                                  rank_text(choirs_.ranks_of(together_))));
        return;
      }
      covered += range.count;
      tensor.holdings.push_back({range, choirs_.id_of(together_)});
    }
    if (const auto elements = element_count(tensor.shape); covered != elements) {
      problem(path, fmt::format("elements [{}, {}) are held by no rank", covered, elements));
      return;
    }
    tensor.holdings.shrink_to_fit();
    state_.tensors.push_back(std::move(tensor));
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
  // Dtype, global shape and way of sharding must be the same wherever the tensor is held.
  bool disagree(const std::string& path, std::span<const Claim> claims) {
    const auto& first = *claims.front().description;
    if (std::all_of(claims.begin(), claims.end(), [&](const Claim& claim) {
          const auto& other = *claim.description;
          return other.dtype == first.dtype && other.global_shape == first.global_shape &&
                 is_whole(other) == is_whole(first);
        })) {
      return false;
    }
    std::map<std::string, RankSet> versions;
    for (const auto& [description, voice] : claims) {
      auto& who = versions[fmt::format("{} {}{}", name(description->dtype), to_string(description->global_shape),
                                       is_whole(*description) ? "" : " in parts")];
      who.insert(who.end(), voices_[voice].ranks.begin(), voices_[voice].ranks.end());
    }
    std::string text;
    for (auto& [version, ranks] : versions) {
      make_rank_set(ranks);
      text += fmt::format("{}{} on {}", text.empty() ? "" : ", ", version, rank_text(ranks));
    }
    problem(path, text);
    return true;
  }

  // What is claimed of a tensor, but for nothing at all, by range and then by voice.
  bool find_ranges(const std::string& path, std::span<const Claim> claims) {
    ranges_.clear();
    for (const auto& [description, voice] : claims) {
      const auto range = contiguous_range(description->shard, description->global_shape);
      if (!range) {
        problem(path, "a shard that is not one contiguous range of elements");
        return false;
      }
      if (range->count > 0) ranges_.push_back({*range, voice});
    }
    std::sort(ranges_.begin(), ranges_.end(), [](const auto& a, const auto& b) {
      return std::tie(a.range.first, a.range.count, a.voice) < std::tie(b.range.first, b.range.count, b.voice);
    });
    return true;
  }

  std::span<const std::uint32_t> all_voices(std::span<const Claim> claims) {
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

  const std::vector<Voice>& voices_;
  Choirs choirs_;
  GlobalState state_;
  std::vector<RangeClaim> ranges_;       // of one tensor
  std::vector<std::uint32_t> together_;  // voices that claim the same
  std::string problems_;
  std::size_t problem_count_ = 0;
};

// All that is claimed, tensor by tensor.
class Claims {
 public:
  explicit Claims(const std::vector<Voice>& voices) {
    std::unordered_map<std::string_view, std::uint32_t> index;
    std::vector<std::uint32_t> tensor_of;  // claim by claim
    for (const auto& voice : voices) {
      for (const auto& description : voice.descriptions) {
        const auto [entry, added] = index.try_emplace(description.path, narrow<std::uint32_t>(first_.size()));
        if (added) {
          first_.push_back(0);
          paths_.push_back(&description.path);
        }
        ++first_[entry->second];
        tensor_of.push_back(entry->second);
      }
    }
    first_.push_back(0);
    std::exclusive_scan(first_.begin(), first_.end(), first_.begin(), std::size_t{0});
    claims_.resize(tensor_of.size());
    auto next = first_;
    std::size_t at = 0;
    for (std::uint32_t voice = 0; voice < voices.size(); ++voice) {
      for (const auto& description : voices[voice].descriptions) {
        claims_[next[tensor_of[at++]]++] = {&description, voice};
      }
    }
  }

  [[nodiscard]] std::vector<std::size_t> by_path() const {
    std::vector<std::size_t> order(paths_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return *paths_[a] < *paths_[b]; });
    return order;
  }
  [[nodiscard]] const std::string& path(std::size_t tensor) const { return *paths_[tensor]; }
  // In the order of the voices.
  [[nodiscard]] std::span<const Claim> of(std::size_t tensor) const {
    return std::span(claims_).subspan(first_[tensor], first_[tensor + 1] - first_[tensor]);
  }

 private:
  std::vector<const std::string*> paths_;
  std::vector<std::size_t> first_;  // of each tensor's claims
  std::vector<Claim> claims_;
};

}  // namespace

GlobalState merge(int world_size, const std::vector<Voice>& voices) {
  const Claims claims(voices);
  Merger merger(world_size, voices);
  for (const auto tensor : claims.by_path()) merger.add(claims.path(tensor), claims.of(tensor));
  return merger.finish();
}

}  // namespace muster::plan
