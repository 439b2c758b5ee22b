// What ranks tell each other: every distinct string once, with all who passed it.

#include "mpi/exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/collective.hpp"

namespace muster::exchange_test {
namespace {

using mpi::Comm;
using mpi::CommView;
using mpi::exchange_distinct;
using mpi::SharedBytes;
using testing::ElementsAre;

class Exchange : public testing::Test {
 protected:
  [[nodiscard]] std::vector<int> everyone() const {
    std::vector<int> ranks(static_cast<std::size_t>(comm_.size()));
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

std::string text_of(const SharedBytes& each) {
  return {reinterpret_cast<const char*>(each.bytes.data()), each.bytes.size()};
}

TEST_F(Exchange, GivesOneSayingWhereAllPassTheSame) {
  const auto distinct = exchange_distinct(comm_, {bytes_of("all")});
  ASSERT_EQ(distinct.size(), 1U);
  EXPECT_EQ(text_of(distinct[0]), "all");
  EXPECT_EQ(distinct[0].ranks, everyone());
}

TEST_F(Exchange, GivesEachDistinctStringByLowestRank) {
  // Later ranks pass the shorter strings, so that order of rank and order of text differ; rank 3 passes what rank 1
  // does.
  const auto text_of_rank = [](int rank) { return std::string(static_cast<std::size_t>(9 - rank % 2 * 3), 'x'); };
  const auto distinct = exchange_distinct(comm_, {bytes_of(text_of_rank(comm_.rank()))});
  ASSERT_EQ(distinct.size(), static_cast<std::size_t>(std::min(2, comm_.size())));
  for (std::size_t i = 0; i < distinct.size(); ++i) {
    EXPECT_EQ(text_of(distinct[i]), text_of_rank(static_cast<int>(i)));
    for (const int rank : distinct[i].ranks) EXPECT_EQ(rank % 2, static_cast<int>(i));
  }
}

TEST_F(Exchange, TakesEmptyStringsForStrings) {
  const auto distinct = exchange_distinct(comm_, {comm_.rank() == 0 ? Bytes{} : bytes_of("some")});
  ASSERT_EQ(distinct.size(), comm_.size() == 1 ? 1U : 2U);
  EXPECT_EQ(text_of(distinct[0]), "");
  EXPECT_THAT(distinct[0].ranks, ElementsAre(0));
  if (comm_.size() > 1) {
    EXPECT_EQ(text_of(distinct[1]), "some");
  }
}

TEST_F(Exchange, SendsWhatIsCommonOnceHoweverManyStringsARankPasses) {
  // All pass "common"; each passes its own, rank 0 none.
  std::vector<Bytes> mine{bytes_of("common")};
  for (int i = 0; i < comm_.rank(); ++i) mine.push_back(bytes_of(std::to_string(comm_.rank() * 10 + i)));
  const auto distinct = exchange_distinct(comm_, mine);
  std::vector<std::string> expected{"common"};
  for (int rank = 0; rank < comm_.size(); ++rank) {
    for (int i = 0; i < rank; ++i) expected.push_back(std::to_string(rank * 10 + i));
  }
  std::vector<std::string> texts;
  for (const auto& each : distinct) texts.push_back(text_of(each));
  EXPECT_EQ(texts, expected);
  EXPECT_EQ(distinct[0].ranks, everyone());
}

TEST_F(Exchange, TakesRanksThatPassNothing) {
  EXPECT_TRUE(exchange_distinct(comm_, {}).empty());
  std::vector<Bytes> mine;
  if (comm_.rank() == comm_.size() - 1) mine.push_back(bytes_of("last"));
  const auto distinct = exchange_distinct(comm_, mine);
  ASSERT_EQ(distinct.size(), 1U);
  EXPECT_EQ(text_of(distinct[0]), "last");
  EXPECT_THAT(distinct[0].ranks, ElementsAre(comm_.size() - 1));
}

TEST_F(Exchange, CarriesMegabytes) {
  Bytes mine(static_cast<std::size_t>(3000000 + comm_.rank()), static_cast<std::byte>(comm_.rank()));
  const auto distinct = exchange_distinct(comm_, {mine});
  ASSERT_EQ(distinct.size(), static_cast<std::size_t>(comm_.size()));
  for (std::size_t rank = 0; rank < distinct.size(); ++rank) {
    ASSERT_EQ(distinct[rank].bytes.size(), 3000000 + rank);
    EXPECT_EQ(distinct[rank].bytes.back(), static_cast<std::byte>(rank));
  }
}

TEST_F(Exchange, RefusesDifferentTextsOnAllRanks) {
  if (comm_.size() == 1) return;
  const auto text = comm_.rank() == 0 ? "a" : "b";
  const auto error = test::collective_error(ErrorKind::mismatch, "agree",
                                            [&] { mpi::require_same(comm_, "agree", "the letter", text); });
  EXPECT_THAT(error.what(), testing::HasSubstr("the ranks differ in the letter: rank 0 passes a; rank"));
}

}  // namespace
}  // namespace muster::exchange_test
