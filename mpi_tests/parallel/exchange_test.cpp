// What ranks tell each other: every distinct string once, with all who passed it.

#include "coord/exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/collective.hpp"

namespace muster::exchange_test {
namespace {

using coord::all_distinct;
using coord::all_sayings;
using coord::Saying;
using mpi::Comm;
using mpi::CommView;
using testing::ElementsAre;

class Exchange : public testing::Test {
 protected:
  [[nodiscard]] RankSet everyone() const {
    RankSet ranks(static_cast<std::size_t>(comm_.size()));
    std::iota(ranks.begin(), ranks.end(), 0);
    return ranks;
  }

  Comm owner_ = Comm::duplicate(MPI_COMM_WORLD);
  CommView comm_ = owner_.view(60);
};

Bytes bytes_of(const std::string& text) {
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

std::string text_of(const Saying& saying) {
  return {reinterpret_cast<const char*>(saying.bytes.data()), saying.bytes.size()};
}

TEST_F(Exchange, GivesOneSayingWhereAllPassTheSame) {
  const auto sayings = all_sayings(comm_, bytes_of("all"));
  ASSERT_EQ(sayings.size(), 1U);
  EXPECT_EQ(text_of(sayings[0]), "all");
  EXPECT_EQ(sayings[0].ranks, everyone());
}

TEST_F(Exchange, GivesEachDistinctStringByLowestRank) {
  // Later ranks pass the shorter strings, so that order of rank and order of text differ; rank 3 passes what rank 1
  // does.
  const auto text_of_rank = [](int rank) { return std::string(static_cast<std::size_t>(9 - rank % 2 * 3), 'x'); };
  const auto sayings = all_sayings(comm_, bytes_of(text_of_rank(comm_.rank())));
  ASSERT_EQ(sayings.size(), static_cast<std::size_t>(std::min(2, comm_.size())));
  for (std::size_t i = 0; i < sayings.size(); ++i) {
    EXPECT_EQ(text_of(sayings[i]), text_of_rank(static_cast<int>(i)));
    for (const int rank : sayings[i].ranks) EXPECT_EQ(rank % 2, static_cast<int>(i));
  }
}

TEST_F(Exchange, TakesEmptyStringsForStrings) {
  const auto sayings = all_sayings(comm_, comm_.rank() == 0 ? Bytes{} : bytes_of("some"));
  ASSERT_EQ(sayings.size(), comm_.size() == 1 ? 1U : 2U);
  EXPECT_EQ(text_of(sayings[0]), "");
  EXPECT_THAT(sayings[0].ranks, ElementsAre(0));
  if (comm_.size() > 1) {
    EXPECT_EQ(text_of(sayings[1]), "some");
  }
}

TEST_F(Exchange, SendsWhatIsCommonOnceHoweverManyStringsARankPasses) {
  // All pass "common"; each passes its own, rank 0 none.
  std::vector<Bytes> mine{bytes_of("common")};
  for (int i = 0; i < comm_.rank(); ++i) mine.push_back(bytes_of(std::to_string(comm_.rank() * 10 + i)));
  const auto sayings = all_distinct(comm_, mine);
  std::vector<std::string> expected{"common"};
  for (int rank = 0; rank < comm_.size(); ++rank) {
    for (int i = 0; i < rank; ++i) expected.push_back(std::to_string(rank * 10 + i));
  }
  std::vector<std::string> texts;
  for (const auto& saying : sayings) texts.push_back(text_of(saying));
  EXPECT_EQ(texts, expected);
  EXPECT_EQ(sayings[0].ranks, everyone());
}

TEST_F(Exchange, TakesRanksThatPassNothing) {
  EXPECT_TRUE(all_distinct(comm_, {}).empty());
  std::vector<Bytes> mine;
  if (comm_.rank() == comm_.size() - 1) mine.push_back(bytes_of("last"));
  const auto sayings = all_distinct(comm_, mine);
  ASSERT_EQ(sayings.size(), 1U);
  EXPECT_EQ(text_of(sayings[0]), "last");
  EXPECT_THAT(sayings[0].ranks, ElementsAre(comm_.size() - 1));
}

TEST_F(Exchange, CarriesMegabytes) {
  Bytes mine(static_cast<std::size_t>(3000000 + comm_.rank()), static_cast<std::byte>(comm_.rank()));
  const auto sayings = all_sayings(comm_, mine);
  ASSERT_EQ(sayings.size(), static_cast<std::size_t>(comm_.size()));
  for (std::size_t rank = 0; rank < sayings.size(); ++rank) {
    ASSERT_EQ(sayings[rank].bytes.size(), 3000000 + rank);
    EXPECT_EQ(sayings[rank].bytes.back(), static_cast<std::byte>(rank));
  }
}

TEST_F(Exchange, RefusesDifferentTextsOnAllRanks) {
  if (comm_.size() == 1) return;
  const auto text = comm_.rank() == 0 ? "a" : "b";
  const auto error = test::collective_error(ErrorKind::mismatch, "agree",
                                            [&] { coord::require_same(comm_, "agree", "the letter", text); });
  EXPECT_THAT(error.what(), testing::HasSubstr("the ranks differ in the letter: rank 0 passes a; rank"));
}

}  // namespace
}  // namespace muster::exchange_test
