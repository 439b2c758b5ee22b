#include "plan/delivery.hpp"

#include <algorithm>
#include <utility>

#include "base/direct_file.hpp"
#include "model/layout.hpp"

namespace muster::plan {

Delivery::Delivery(const std::vector<ReadUnit>& units, std::vector<int> node_of_rank, bool may_share_buffers)
    : node_of_rank_(std::move(node_of_rank)),
      is_one_node_(std::ranges::all_of(node_of_rank_, [this](int node) { return node == node_of_rank_.front(); })),
      shares_buffers_(may_share_buffers && std::ranges::any_of(units, [this](const auto& unit) {
                        return std::ranges::any_of(unit.wanted_by, [&](int rank) {
                          return rank != unit.reader && on_one_node(rank, unit.reader);
                        });
                      })) {}

bool Delivery::is_broadcast(const ReadUnit& unit) const {
  const auto ranks = node_of_rank_.size();
  return unit.wanted_by.size() == ranks && ranks > 1 && !(shares_buffers_ && is_one_node_);
}

bool Delivery::is_shared_with(const ReadUnit& unit, int rank) const {
  return shares_buffers_ && rank != unit.reader && on_one_node(rank, unit.reader) && !is_broadcast(unit);
}

bool Delivery::is_sent_to(const ReadUnit& unit, int rank) const {
  return rank != unit.reader && !is_shared_with(unit, rank);
}

void Delivery::add(const ReadUnit& unit, int rank, RankTransfers& handled) const {
  if (unit.reader == rank) {
    ++handled.units_read;
    handled.largest_read = std::max(handled.largest_read, unit.bytes);
  } else if (is_sent_to(unit, rank)) {
    handled.largest_received = std::max(handled.largest_received, unit.bytes);
  }
}

std::uint64_t Delivery::buffer_bytes(const RankTransfers& handled) const {
  // Buffers that others look into are made for the load; the rest are those that saves use, of one size.
  const auto largest = shares_buffers_ ? handled.largest_read : std::max(handled.largest_read, kMaxExtentBytes);
  const auto buffers = std::min<std::uint64_t>(read_buffers(), handled.units_read);
  return buffers * posix::room_for_blocks(largest) + handled.largest_received;
}

}  // namespace muster::plan
