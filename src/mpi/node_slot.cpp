#include "mpi/node_slot.hpp"

#include <algorithm>
#include <array>
#include <muster/error.hpp>
#include <vector>

#include "base/log.hpp"
#include "base/narrow.hpp"

namespace muster::mpi {

namespace {

std::vector<int> ranks_of_this_node(const Team& team) {
  const auto mine = team.node_of_rank[static_cast<std::size_t>(team.comm.rank())];
  std::vector<int> ranks;
  for (int rank = 0; rank < team.comm.size(); ++rank) {
    if (team.node_of_rank[static_cast<std::size_t>(rank)] == mine) ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace

NodeSlot::NodeSlot(const Team& team, std::optional<int> at_once) : team_(team) {
  if (!at_once) return;
  const auto ranks = ranks_of_this_node(team);
  const auto place = std::ranges::find(ranks, team.comm.rank()) - ranks.begin();
  if (place + *at_once < std::ssize(ranks)) next_ = ranks[static_cast<std::size_t>(place + *at_once)];
  if (place < *at_once) return;
  std::array<std::byte, 1> go{};
  try {
    team.comm.receive(go, ranks[static_cast<std::size_t>(place - *at_once)]);
  } catch (...) {
    release_next();  // no destructor will
    throw;
  }
}

NodeSlot::~NodeSlot() { release_next(); }

void NodeSlot::release_next() noexcept {
  if (!next_) return;
  try {
    const std::array<std::byte, 1> go{};
    team_.comm.send(go, *next_);
  } catch (const Error& error) {
    // The next one's own deadline tells.
    log_warning(error.what());
  }
}

}  // namespace muster::mpi
