#include "plan/balance.hpp"

#include <algorithm>
#include <compare>
#include <numeric>

#include "base/narrow.hpp"
#include "model/layout.hpp"
#include "model/storage_order.hpp"

namespace muster::plan {

namespace {

constexpr std::uint64_t kMinPartBytes = 64 << 10;

// The ranks of each set that may write: all of its holders, or at most so many of each node.
class Writers {
 public:
  Writers(const std::vector<RankSet>& holders, const BalanceOptions& options) : holders_(holders) {
    if (options.writers_per_node <= 0) return;
    const auto last_node = *std::max_element(options.node_of_rank.begin(), options.node_of_rank.end());
    std::vector<int> used(narrow<std::size_t>(last_node) + 1, 0);
    const auto used_of = [&](int rank) -> int& {
      return used[static_cast<std::size_t>(options.node_of_rank[static_cast<std::size_t>(rank)])];
    };
    for (const auto& ranks : holders) {
      auto& chosen = chosen_.emplace_back();
      for (const int rank : ranks) {
        if (used_of(rank)++ < options.writers_per_node) chosen.push_back(rank);
      }
      for (const int rank : ranks) used_of(rank) = 0;
    }
  }

  const RankSet& operator[](std::size_t set) const { return chosen_.empty() ? holders_[set] : chosen_[set]; }

 private:
  const std::vector<RankSet>& holders_;
  std::vector<RankSet> chosen_;
};

// Shares `bytes` out so that the ranks' loads end as equal as they can (the least loaded first), and adds them up.
std::vector<std::uint64_t> fill_up(const RankSet& ranks, std::uint64_t bytes, std::vector<std::uint64_t>& load) {
  std::vector<std::size_t> order(ranks.size());
  std::iota(order.begin(), order.end(), 0);
  const auto load_of = [&](std::size_t i) -> std::uint64_t& { return load[static_cast<std::size_t>(ranks[i])]; };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return load_of(a) < load_of(b); });
  // The lowest `count` ranks are levelled to `level`; the rest stay above it.
  std::uint64_t sum = bytes;
  std::size_t count = 0;
  while (count < order.size() && (count == 0 || load_of(order[count]) * count < sum)) sum += load_of(order[count++]);
  const std::uint64_t level = sum / count;
  std::uint64_t extra = sum % count;
  std::vector<std::uint64_t> share(ranks.size(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    auto& rank_load = load_of(order[i]);
    const std::uint64_t target = level + (extra > 0 ? 1 : 0);
    if (extra > 0) --extra;
    share[order[i]] = target > rank_load ? target - rank_load : 0;
    rank_load += share[order[i]];
  }
  return share;
}

// Hands out the ranges that one rank set holds in file order: each writer takes its share, then the next one goes on.
class Dealer {
 public:
  Dealer(const RankSet& ranks, const std::vector<std::uint64_t>& shares, std::uint64_t granule)
      : ranks_(ranks), ends_(shares.size()), granule_(granule) {
    std::partial_sum(shares.begin(), shares.end(), ends_.begin());
  }

  // `range`: of the tensor.
  void deal(std::uint32_t tensor, ByteRange range, std::vector<Extent>& extents) {
    while (range.bytes > 0) {
      const auto taken = take(range);
      const auto end = range.offset + taken;
      for (; range.offset < end; range.offset += extents.back().bytes) {
        extents.push_back({{range.offset, std::min(kMaxExtentBytes, end - range.offset)}, tensor, ranks_[writer_]});
      }
      dealt_ += taken;
      range.bytes -= taken;
    }
  }

 private:
  // Makes sure that the current writer should take something of these bytes, and says how much.
  std::uint64_t take(const ByteRange& range) {
    for (; writer_ + 1 < ranks_.size(); ++writer_) {
      const auto left = ends_[writer_] > dealt_ ? ends_[writer_] - dealt_ : 0;
      if (range.bytes <= left) return range.bytes;
      const auto end = range.offset + left;
      const auto cut = end - end % granule_;
      const bool parts_are_large = cut >= range.offset + kMinPartBytes && range.end() - cut >= kMinPartBytes;
      if (parts_are_large) return cut - range.offset;
      if (left >= range.bytes - left && left > 0) return range.bytes;  // more than half fits
    }
    return range.bytes;
  }

  const RankSet& ranks_;
  // Where each writer's share should end, counted over all that is dealt: what one takes too much or too little, the
  // next one makes up for.
  std::vector<std::uint64_t> ends_;
  std::uint64_t granule_;
  std::uint64_t dealt_ = 0;
  std::size_t writer_ = 0;
};

// Tensors of the same holders together; large ones first, so that a writer's first tensor is an aligned one.
std::vector<std::size_t> file_order(const GlobalState& state, std::uint64_t alignment_bytes) {
  std::vector<char> is_small;
  for (const auto& tensor : state.tensors) {
    const auto bytes = storage_bytes(tensor.dtype, tensor.shape, tensor.chunk_shape);
    is_small.push_back(bytes < aligned_threshold_bytes(alignment_bytes) ? 1 : 0);
  }
  std::vector<std::size_t> order(state.tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    const auto& ranges_a = state.tensors[a].ranges;
    const auto& ranges_b = state.tensors[b].ranges;
    const auto by_ranks = std::lexicographical_compare_three_way(
        ranges_a.begin(), ranges_a.end(), ranges_b.begin(), ranges_b.end(),
        [](const HeldRange& x, const HeldRange& y) { return x.rank_set <=> y.rank_set; });
    return by_ranks < 0 || (by_ranks == 0 && is_small[a] < is_small[b]);
  });
  return order;
}

}  // namespace

WritePlan balance(const GlobalState& state, const BalanceOptions& options) {
  WritePlan plan;
  plan.world_size = state.world_size;
  plan.documents = state.documents;
  const auto order = file_order(state, options.alignment_bytes);

  std::vector<std::uint64_t> set_bytes(state.rank_sets.size(), 0);
  for (const auto& tensor : state.tensors) {
    for (const auto& range : tensor.ranges) set_bytes[range.rank_set] += range.count * item_bytes(tensor.dtype);
  }
  // The sets with least choice first.
  const Writers writers(state.rank_sets, options);
  std::vector<std::size_t> sets(state.rank_sets.size());
  std::iota(sets.begin(), sets.end(), 0);
  std::stable_sort(sets.begin(), sets.end(), [&](auto a, auto b) { return writers[a].size() < writers[b].size(); });
  std::vector<std::uint64_t> load(static_cast<std::size_t>(state.world_size), 0);
  std::vector<std::vector<std::uint64_t>> shares(sets.size());
  for (const auto set : sets) shares[set] = fill_up(writers[set], set_bytes[set], load);
  std::vector<Dealer> dealers;
  dealers.reserve(sets.size());
  for (std::size_t set = 0; set < sets.size(); ++set) {
    dealers.emplace_back(writers[set], shares[set], options.alignment_bytes);
  }

  for (const auto index : order) {
    const auto& tensor = state.tensors[index];
    const auto item = item_bytes(tensor.dtype);
    const auto position = narrow<std::uint32_t>(plan.tensors.size());
    plan.tensors.push_back(
        {tensor, {.bytes = storage_bytes(tensor.dtype, tensor.shape, tensor.chunk_shape)}, tensor.chunk_shape});
    for (const auto& range : tensor.ranges) {
      dealers[range.rank_set].deal(position, {range.first * item, range.count * item}, plan.extents);
    }
  }
  return plan;
}

std::vector<std::uint64_t> written_bytes(const WritePlan& plan) {
  std::vector<std::uint64_t> bytes(static_cast<std::size_t>(plan.world_size), 0);
  for (const auto& extent : plan.extents) bytes[static_cast<std::size_t>(extent.writer)] += extent.bytes;
  return bytes;
}

}  // namespace muster::plan
