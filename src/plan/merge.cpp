#include "plan/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include "base/narrow.hpp"
#include "base/rank_text.hpp"
#include "model/storage_order.hpp"
#include "plan/chunk_shape.hpp"
#include "plan/rank_set_unions.hpp"

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

// Of a few small numbers one after the other; hash_bytes would need them side by side.
std::uint64_t mixed(std::uint64_t hash, std::uint64_t number) {
  hash = (hash ^ number) * 0x9E3779B97F4A7C15U;
  return hash ^ hash >> 32;
}

}  // namespace

std::size_t Merger::ShardHash::operator()(const Shard& shard) const {
  auto hash = mixed(mixed(static_cast<std::uint64_t>(shard.kind()), shard.first_element()), shard.count());
  for (const auto& [offset, shape] : shard.boxes()) {
    for (const auto at : offset) hash = mixed(hash, at);
    for (const auto size : shape) hash = mixed(hash, size);
  }
  return hash;
}

// That a group holds a range of a tensor's elements as they lie in the file.
struct Merger::GroupRange : ElementRange {
  std::uint32_t part = 0;  // of several ranges, see CutRanges
  std::uint32_t group = 0;

  static bool by_range(const GroupRange& a, const GroupRange& b) {
    return std::tie(a.first, a.count, a.part, a.group) < std::tie(b.first, b.count, b.part, b.group);
  }
};

// Held shards cut into ranges, each with the number of the part that it is cut from: two parts may share some of their
// ranges and are two parts all the same.
class Merger::CutRanges {
 public:
  void add(std::uint32_t group, std::vector<ElementRange> ranges) {
    std::ranges::sort(ranges, {}, &ElementRange::first);
    std::vector<ElementRange> joined;
    for (const auto& range : ranges) {
      if (!joined.empty() && joined.back().first + joined.back().count == range.first) {
        joined.back().count += range.count;
      } else {
        joined.push_back(range);
      }
    }
    std::vector<std::uint64_t> key;
    for (const auto& [first, count] : joined) key.insert(key.end(), {first, count});
    const auto part = parts_.try_emplace(std::move(key), narrow<std::uint32_t>(parts_.size())).first->second;
    for (const auto& range : joined) held_.push_back({range, part, group});
  }

  std::vector<GroupRange> take() {
    std::sort(held_.begin(), held_.end(), GroupRange::by_range);
    return std::move(held_);
  }

 private:
  std::map<std::vector<std::uint64_t>, std::uint32_t> parts_;  // by their ranges
  std::vector<GroupRange> held_;
};

// Makes the global tensors of what is held, tensor by tensor.
class Merger::TensorMerge {
 public:
  TensorMerge(const std::vector<int>& peer_groups, const std::vector<RankSet>& groups,
              const std::vector<const Shard*>& shards)
      : peer_groups_(peer_groups), groups_(groups), shards_(shards), unions_(pointers_to(groups)) {
    state_.world_size = narrow<int>(peer_groups.size());
  }

  // `held` by group.
  void add(const Named& tensor, std::span<const HeldShard> held) {
    const auto& [path, versions] = tensor;
    if (versions.size() > 1) {
      problem(path, versions_text(tensor, held));
      return;
    }
    const auto& [dtype, shape, is_whole] = versions.front();
    const auto hash = hash_of(held);
    if (const auto* same = merged_like(tensor, held, hash)) {
      state_.tensors.push_back({{path, dtype, shape}, same->chunk_shape, same->ranges});
      return;
    }
    if (is_whole) {
      together_.clear();
      for (const auto& each : held) together_.push_back(each.group);
      const auto& holders = unions_.ranks_of(together_);
      if (holders.size() != peer_groups_.size()) {
        if (const auto missing = without(peers_of(holders), holders); !missing.empty()) {
          problem(path, fmt::format("held by {}, missing on {}", rank_text(holders), rank_text(missing)));
          return;
        }
      }
    }
    const auto merged = state_.tensors.size();
    if (const auto ranges = row_major(shape, held)) {
      merge_ranges({{path, dtype, shape}}, StorageOrder(shape), *ranges);
    } else {
      const StorageOrder order(shape, chunk_shape_of(shape, dtype, held));
      merge_ranges({{path, dtype, shape}, order.chunk_shape()}, order, in_chunks(order, held));
    }
    if (state_.tensors.size() > merged) merged_.emplace(hash, MergedTensor{&versions.front(), held, merged});
  }

  GlobalState finish() {
    state_.rank_sets = unions_.take();
    if (problem_count_ == 0) return std::move(state_);
    if (problem_count_ > kMaxProblems) {
      problems_ += fmt::format("; and {} more", problem_count_ - kMaxProblems);
    }
    throw Error(ErrorKind::mismatch, "the ranks do not hold the same state: " + problems_);
  }

 private:
  // A tensor without a problem, and the shards of it that are held.
  struct MergedTensor {
    const Version* version = nullptr;
    std::span<const HeldShard> held;
    std::size_t tensor = 0;  // index into GlobalState::tensors
  };

  static std::uint64_t hash_of(std::span<const HeldShard> held) {
    std::uint64_t hash = held.size();
    for (const auto& each : held) hash = mixed(hash, std::uint64_t{each.group} << 32 | each.shard);
    return hash;
  }

  // The layers of a model are held alike: what the groups hold of one layer, they hold of the next.
  [[nodiscard]] const GlobalTensor* merged_like(const Named& tensor, std::span<const HeldShard> held,
                                                std::uint64_t hash) const {
    const auto& wanted = tensor.versions.front();
    const auto alike = [](const HeldShard& a, const HeldShard& b) { return a.group == b.group && a.shard == b.shard; };
    const auto [first, last] = merged_.equal_range(hash);
    for (auto entry = first; entry != last; ++entry) {
      const auto& [version, known, index] = entry->second;
      if (version->dtype == wanted.dtype && version->shape == wanted.shape && version->is_whole == wanted.is_whole &&
          std::ranges::equal(known, held, alike)) {
        return &state_.tensors[index];
      }
    }
    return nullptr;
  }

  [[nodiscard]] std::vector<ShardBox> boxes_of(const HeldShard& each, const Shape& shape) const {
    return muster::boxes_of(*shards_[each.shard], shape);
  }

  [[nodiscard]] Shape chunk_shape_of(const Shape& shape, DType dtype, std::span<const HeldShard> held) const {
    ChunkShape chunk_shape(shape);
    for (const auto& each : held) {
      for (const auto& part : boxes_of(each, shape)) chunk_shape.add(part.box);
    }
    return chunk_shape.shape(dtype);
  }

  // The held shards as ranges of elements; nothing if one of them is a block that is no range.
  [[nodiscard]] std::optional<std::vector<GroupRange>> row_major(const Shape& shape,
                                                                 std::span<const HeldShard> held) const {
    CutRanges cut;
    for (const auto& each : held) {
      if (const auto range = contiguous_range(*shards_[each.shard], shape)) {
        cut.add(each.group, {*range});
        continue;
      }
      std::vector<ElementRange> ranges;
      for (const auto& part : boxes_of(each, shape)) {
        const auto range = contiguous_range(Shard::block(part.box.offset, part.box.shape), shape);
        if (!range) return std::nullopt;
        ranges.push_back(*range);
      }
      cut.add(each.group, std::move(ranges));
    }
    return cut.take();
  }

  // The held shards as ranges in the file.
  [[nodiscard]] std::vector<GroupRange> in_chunks(const StorageOrder& order, std::span<const HeldShard> held) const {
    CutRanges cut;
    for (const auto& each : held) {
      std::vector<ElementRange> ranges;
      for (const auto& part : boxes_of(each, order.shape())) {
        const auto of_box = order.ranges_of(part.box);
        ranges.insert(ranges.end(), of_box.begin(), of_box.end());
      }
      cut.add(each.group, std::move(ranges));
    }
    return cut.take();
  }

  // `held` by range in the file, then by group.
  void merge_ranges(GlobalTensor tensor, const StorageOrder& order, std::span<const GroupRange> held) {
    std::uint64_t covered = 0;
    RankSet before;
    for (std::size_t last = 0; last < held.size();) {
      const auto first = last;
      const ElementRange range = held[first];
      const auto part = held[first].part;
      while (last < held.size() && static_cast<const ElementRange&>(held[last]) == range && held[last].part == part)
        ++last;
      if (range.count == 0) continue;
      const auto together = groups_of(held.subspan(first, last - first));
      if (range.first > covered) {
        hole(tensor.path, order, {covered, range.first - covered}, held);
        return;
      }
      if (range.first < covered) {
        const auto end = std::min(covered, range.first + range.count);
        problem(tensor.path, fmt::format("{} held in two different parts, by {} and by {}",
                                         part_text(order, {range.first, end - range.first}), rank_text(before),
                                         rank_text(unions_.ranks_of(together))));
        return;
      }
      covered += range.count;
      tensor.ranges.push_back({range, unions_.id_of(together)});
      before = unions_.ranks_of(together);
    }
    if (covered != order.elements()) {
      hole(tensor.path, order, {covered, order.elements() - covered}, held);
      return;
    }
    tensor.ranges.shrink_to_fit();
    state_.tensors.push_back(std::move(tensor));
  }

  // Nobody holds the range: who holds the rest is who may have been meant to.
  void hole(const std::string& path, const StorageOrder& order, const ElementRange& range,
            std::span<const GroupRange> held) {
    RankSet holders;
    for (const auto& each : held) {
      if (each.count == 0) continue;
      const auto& ranks = groups_[each.group];
      holders.insert(holders.end(), ranks.begin(), ranks.end());
    }
    make_rank_set(holders);
    const auto rest = holders.empty() ? "" : ", other parts by " + rank_text(holders);
    problem(path, part_text(order, range) + " held by no rank" + rest);
  }

  // "elements [8, 16) are", or of a tensor in chunks the first of them: "block [0, 4) x [4, 8) is".
  static std::string part_text(const StorageOrder& order, const ElementRange& range) {
    if (order.is_row_major()) return fmt::format("elements [{}, {}) are", range.first, range.first + range.count);
    const auto box = order.chunk_at(range.first);
    return to_string(Shard::block(box.offset, box.shape)) + " is";
  }

  std::string versions_text(const Named& tensor, std::span<const HeldShard> held) {
    std::map<std::string, RankSet> who_says;
    for (const auto& each : held) {
      const auto& [dtype, shape, is_whole] = tensor.versions[each.version];
      auto& who = who_says[fmt::format("{} {}{}", name(dtype), to_string(shape), is_whole ? "" : " in parts")];
      who.insert(who.end(), groups_[each.group].begin(), groups_[each.group].end());
    }
    std::string text;
    for (auto& [version, ranks] : who_says) {
      make_rank_set(ranks);
      text += fmt::format("{}{} on {}", text.empty() ? "" : ", ", version, rank_text(ranks));
    }
    return text;
  }

  // Good until the next call.
  std::span<const std::uint32_t> groups_of(std::span<const GroupRange> held) {
    together_.clear();
    for (const auto& each : held) together_.push_back(each.group);
    return together_;
  }

  // All ranks of their groups.
  [[nodiscard]] RankSet peers_of(const RankSet& ranks) const {
    std::set<int> groups;
    for (const int rank : ranks) groups.insert(peer_groups_[static_cast<std::size_t>(rank)]);
    RankSet peers;
    for (std::size_t rank = 0; rank < peer_groups_.size(); ++rank) {
      if (groups.contains(peer_groups_[rank])) peers.push_back(static_cast<int>(rank));
    }
    return peers;
  }

  void problem(const std::string& path, const std::string& text) {
    if (problem_count_++ < kMaxProblems) problems_ += (problems_.empty() ? "" : "; ") + path + ": " + text;
  }

  const std::vector<int>& peer_groups_;
  const std::vector<RankSet>& groups_;
  const std::vector<const Shard*>& shards_;
  RankSetUnions unions_;
  GlobalState state_;
  std::unordered_multimap<std::uint64_t, MergedTensor> merged_;  // by hash of the held shards
  std::vector<std::uint32_t> together_;
  std::string problems_;
  std::size_t problem_count_ = 0;
};

void Merger::add(RankSet ranks, const std::vector<ShardDescription>& descriptions) {
  const auto group = narrow<std::uint32_t>(groups_.size());
  groups_.push_back(std::move(ranks));
  for (const auto& description : descriptions) {
    const auto& dtype = description.dtype;
    const auto& shape = description.shape;
    const auto& shard = description.shard;
    auto known = index_.find(description.path);
    if (known == index_.end()) {
      const auto& tensor = tensors_.emplace_back(Named{description.path, {}});
      known = index_.emplace(tensor.path, narrow<std::uint32_t>(tensors_.size() - 1)).first;
    }
    auto& versions = tensors_[known->second].versions;
    const bool is_whole = shard.kind() == Shard::Kind::whole;
    const auto version = std::find_if(versions.begin(), versions.end(), [&](const auto& other) {
      return other.dtype == dtype && other.shape == shape && other.is_whole == is_whole;
    });
    const auto number = static_cast<std::uint32_t>(version - versions.begin());
    if (version == versions.end()) versions.push_back({dtype, shape, is_whole});
    const auto [entry, added] = shard_numbers_.try_emplace(shard, narrow<std::uint32_t>(shards_.size()));
    if (added) shards_.push_back(&entry->first);
    held_.push_back({known->second, number, group, entry->second});
  }
}

GlobalState Merger::finish() {
  std::vector<std::uint32_t> by_path(tensors_.size());
  std::iota(by_path.begin(), by_path.end(), std::uint32_t{0});
  std::sort(by_path.begin(), by_path.end(), [&](auto a, auto b) { return tensors_[a].path < tensors_[b].path; });
  std::vector<std::uint32_t> place(tensors_.size());
  for (std::uint32_t i = 0; i < by_path.size(); ++i) place[by_path[i]] = i;
  for (auto& each : held_) each.tensor = place[each.tensor];
  std::sort(held_.begin(), held_.end(),
            [](const auto& a, const auto& b) { return std::tie(a.tensor, a.group) < std::tie(b.tensor, b.group); });
  TensorMerge tensors(peer_groups_, groups_, shards_);
  for (auto first = held_.begin(); first != held_.end();) {
    const auto last = std::find_if(first, held_.end(), [&](const auto& each) { return each.tensor != first->tensor; });
    tensors.add(tensors_[by_path[first->tensor]], {first, last});
    first = last;
  }
  return tensors.finish();
}

GlobalState merge(int world_size, const std::vector<RankDescriptions>& groups) {
  Merger merger(world_size);
  for (const auto& [ranks, descriptions] : groups) merger.add(ranks, descriptions);
  return merger.finish();
}

}  // namespace muster::plan
