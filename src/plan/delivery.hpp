#pragma once
// How what one rank reads gets to the others that want it, and in how much memory. Pure.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "plan/read_plan.hpp"

namespace muster::plan {

// What a rank does in a load, as far as its buffers depend on it.
struct RankTransfers {
  std::uint64_t units_read = 0;
  std::uint64_t largest_read = 0;      // bytes
  std::uint64_t largest_received = 0;  // bytes, by message
};

class Delivery {
 public:
  // Of these units, by ranks of these nodes. Where units are wanted by other ranks of their reader's node, those look
  // into its buffers, if `may_share_buffers`: else they get messages as ranks of other nodes do.
  Delivery(const std::vector<ReadUnit>& units, std::vector<int> node_of_rank, bool may_share_buffers);

  // Whether ranks look into the buffers of others.
  [[nodiscard]] bool shares_buffers() const { return shares_buffers_; }
  // Whether one broadcast takes the unit to all.
  [[nodiscard]] bool is_broadcast(const ReadUnit& unit) const;
  // Of a rank that wants the unit: whether it looks where the reader has it.
  [[nodiscard]] bool is_shared_with(const ReadUnit& unit, int rank) const;
  // And whether it gets it by message, be it a broadcast.
  [[nodiscard]] bool is_sent_to(const ReadUnit& unit, int rank) const;
  [[nodiscard]] bool on_one_node(int a, int b) const {
    return node_of_rank_[static_cast<std::size_t>(a)] == node_of_rank_[static_cast<std::size_t>(b)];
  }

  // Adds a unit that this rank reads or wants.
  void add(const ReadUnit& unit, int rank, RankTransfers& handled) const;

  // Others may still look at the unit before this one: they say that they are done when the next one is agreed on.
  [[nodiscard]] std::size_t units_in_use() const { return shares_buffers_ ? 2 : 1; }
  // Buffers to read into, as far as there are units for them: those in use, and two being read.
  [[nodiscard]] std::size_t read_buffers() const { return units_in_use() + 2; }
  // Memory of a rank's buffers: read_buffers() at most, and one for what it gets by message.
  [[nodiscard]] std::uint64_t buffer_bytes(const RankTransfers& handled) const;

 private:
  std::vector<int> node_of_rank_;
  bool is_one_node_;
  bool shares_buffers_;
};

}  // namespace muster::plan
