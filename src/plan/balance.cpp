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

// Hands out the holdings of one rank set in file order: each writer takes its share, then the next one goes on.
class Dealer {
 public:
  Dealer(const RankSet& ranks, const std::vector<std::uint64_t>& shares, std::uint64_t granule)
      : ranks_(ranks), ends_(shares.size()), granule_(granule) {
    std::partial_sum(shares.begin(), shares.end(), ends_.begin());
  }

  void deal(std::uint32_t tensor, std::uint64_t first_byte, std::uint64_t bytes, std::vector<Piece>& pieces) {
    while (bytes > 0) {
      const auto taken = take(first_byte, bytes);
      pieces.push_back({tensor, first_byte, taken, ranks_[writer_]});
      dealt_ += taken;
      first_byte += taken;
      bytes -= taken;
    }
  }

 private:
  // Makes sure that the current writer should take something of these bytes, and says how much.
  std::uint64_t take(std::uint64_t first_byte, std::uint64_t bytes) {
    for (; writer_ + 1 < ranks_.size(); ++writer_) {
      const auto left = ends_[writer_] > dealt_ ? ends_[writer_] - dealt_ : 0;
      if (bytes <= left) return bytes;
      const auto end = first_byte + left;
      const auto cut = end - end % granule_;
      const bool parts_are_large = cut >= first_byte + kMinPartBytes && first_byte + bytes - cut >= kMinPartBytes;
      if (parts_are_large) return cut - first_byte;
      if (left >= bytes - left && left > 0) return bytes;  // more than half fits
    }
    return bytes;
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
    const auto& holdings_a = state.tensors[a].holdings;
    const auto& holdings_b = state.tensors[b].holdings;
    const auto by_holders = std::lexicographical_compare_three_way(
        holdings_a.begin(), holdings_a.end(), holdings_b.begin(), holdings_b.end(),
        [](const Holding& x, const Holding& y) { return x.holders <=> y.holders; });
    return by_holders < 0 || (by_holders == 0 && is_small[a] < is_small[b]);
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
    for (const auto& holding : tensor.holdings) {
      set_bytes[holding.holders] += holding.range.count * item_bytes(tensor.dtype);
    }
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
    plan.tensors.push_back({tensor.path, tensor.dtype, tensor.shape, tensor.chunk_shape});
    for (const auto& holding : tensor.holdings) {
      dealers[holding.holders].deal(position, holding.range.first * item, holding.range.count * item, plan.pieces);
    }
  }
  return plan;
}

std::vector<std::uint64_t> written_bytes(const WritePlan& plan) {
  std::vector<std::uint64_t> bytes(static_cast<std::size_t>(plan.world_size), 0);
  for (const auto& piece : plan.pieces) bytes[static_cast<std::size_t>(piece.writer)] += piece.bytes;
  return bytes;
}

}  // namespace muster::plan
