// Who looks, who gets a message, and how much memory that takes: the bound that Checkpointer::load names is
// kept by any load, and reached.

#include "plan/delivery.hpp"

#include <gtest/gtest.h>

#include <random>

#include "model/layout.hpp"

namespace muster::plan::delivery_test {
namespace {

ReadUnit unit_of(int reader, RankSet wanted_by, std::uint64_t bytes = kMaxExtentBytes) {
  ReadUnit unit;
  unit.bytes = bytes;
  unit.reader = reader;
  unit.wanted_by = std::move(wanted_by);
  return unit;
}

// As include/muster/checkpoint.hpp has it.
constexpr std::uint64_t kReadBuffer = (std::uint64_t{16} << 20) + (std::uint64_t{64} << 10);
constexpr std::uint64_t kMessages = std::uint64_t{16} << 20;

std::uint64_t bytes_of(const Delivery& delivery, const std::vector<ReadUnit>& units, int rank) {
  RankTransfers handled;
  for (const auto& unit : units) {
    const bool requests = std::ranges::find(unit.wanted_by, rank) != unit.wanted_by.end();
    if (requests || unit.reader == rank) delivery.add(unit, rank, handled);
  }
  return delivery.buffer_bytes(handled);
}

TEST(Delivery, OnOneNodeRanksLook) {
  const std::vector<ReadUnit> units(6, unit_of(0, {0, 1, 2}));
  const Delivery delivery(units, {0, 0, 0}, true);
  EXPECT_TRUE(delivery.shares_buffers());
  EXPECT_FALSE(delivery.is_broadcast(units[0]));
  EXPECT_FALSE(delivery.is_shared_with(units[0], 0));
  EXPECT_TRUE(delivery.is_shared_with(units[0], 1));
  EXPECT_FALSE(delivery.is_sent_to(units[0], 1));
  EXPECT_EQ(bytes_of(delivery, units, 0), 4 * kReadBuffer);
  EXPECT_EQ(bytes_of(delivery, units, 1), 0U);
}

TEST(Delivery, WhereTheyMayNotTheyGetMessages) {
  const std::vector<ReadUnit> units{unit_of(0, {0, 1, 2}), unit_of(0, {1}), unit_of(0, {2}), unit_of(0, {1, 2})};
  for (const std::vector<int>& nodes : {std::vector{0, 0, 0}, std::vector{0, 1, 2}}) {
    const Delivery delivery(units, nodes, nodes.back() == 2);
    EXPECT_FALSE(delivery.shares_buffers());
    EXPECT_TRUE(delivery.is_broadcast(units[0]));
    EXPECT_FALSE(delivery.is_broadcast(units[3]));
    EXPECT_TRUE(delivery.is_sent_to(units[1], 1));
    EXPECT_EQ(bytes_of(delivery, units, 0), 3 * kReadBuffer);
    EXPECT_EQ(bytes_of(delivery, units, 1), kMessages);
  }
}

TEST(Delivery, OnSeveralNodesThoseOfTheReadersLook) {
  std::vector<ReadUnit> units(5, unit_of(0, {0, 1, 2}));
  units.push_back(unit_of(2, {0, 1, 2, 3}, 1000));
  const Delivery delivery(units, {0, 0, 1, 1}, true);
  EXPECT_TRUE(delivery.is_shared_with(units[0], 1));
  EXPECT_TRUE(delivery.is_sent_to(units[0], 2));
  EXPECT_TRUE(delivery.is_broadcast(units[5]));
  EXPECT_TRUE(delivery.is_sent_to(units[5], 3));
  EXPECT_EQ(bytes_of(delivery, units, 0), 4 * kReadBuffer + 1000);
  EXPECT_EQ(bytes_of(delivery, units, 2), 2 * (std::uint64_t{64} << 10) + kMessages);
}

TEST(Delivery, StaysWithinTheBound) {
  std::mt19937 random(11);
  const auto below = [&](int end) { return std::uniform_int_distribution(0, end - 1)(random); };
  std::uint64_t most = 0;
  for (int round = 0; round < 2000; ++round) {
    const int ranks = 1 + below(6);
    std::vector<int> nodes;
    for (int rank = 0; rank < ranks; ++rank) nodes.push_back(rank / (1 + below(2)));
    std::vector<ReadUnit> units;
    for (int i = below(20); i > 0; --i) {
      RankSet wanted_by;
      for (int rank = 0; rank < ranks; ++rank) {
        if (below(2) == 0) wanted_by.push_back(rank);
      }
      const auto bytes = below(2) == 0 ? kMaxExtentBytes : static_cast<std::uint64_t>(1 + below(1 << 24));
      if (!wanted_by.empty()) units.push_back(unit_of(below(ranks), std::move(wanted_by), bytes));
    }
    const Delivery delivery(units, nodes, below(4) > 0);
    for (int rank = 0; rank < ranks; ++rank) most = std::max(most, bytes_of(delivery, units, rank));
  }
  EXPECT_EQ(most, 4 * kReadBuffer + kMessages);
}

}  // namespace
}  // namespace muster::plan::delivery_test
