// The board on which ranks write what they are at.

#include "store/heartbeats.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.hpp"

namespace muster::store::heartbeats_test {
namespace {

using testing::HasSubstr;

constexpr auto kLane = HeartbeatLane::background;

TEST(Heartbeats, NamesTheRanksThatAreBehind) {
  const test::TempDir directory;
  std::vector<std::unique_ptr<Heartbeats>> ranks;
  for (int rank = 0; rank < 5; ++rank) ranks.push_back(std::make_unique<Heartbeats>(directory.path(), 42, rank, 5));
  ranks[0]->post(kLane, {.save = 3, .phase = SavePhase::publish});
  ranks[1]->post(kLane, {.save = 3, .phase = SavePhase::write, .bytes = 10, .total_bytes = 70});
  ranks[2]->post(kLane, {.save = 2, .phase = SavePhase::done});
  ranks[3]->post(kLane, {.save = 4, .phase = SavePhase::agree});
  const auto missing = ranks[0]->missing(kLane, {.save = 3, .phase = SavePhase::publish});
  EXPECT_THAT(missing, HasSubstr("rank 1: last seen in phase write, 10 of 70 bytes written, "));
  EXPECT_THAT(missing, HasSubstr("rank 2: not seen in this save; last in done of the save 1 before it"));
  EXPECT_THAT(missing, HasSubstr("rank 4: not seen in any save of this job"));
  EXPECT_THAT(missing, testing::Not(HasSubstr("rank 0:")));
  EXPECT_THAT(missing, testing::Not(HasSubstr("rank 3:")));
}

TEST(Heartbeats, DoesNotTakeAnotherJobsLinesForItsOwn) {
  const test::TempDir directory;
  Heartbeats before(directory.path(), 1, 0, 2);
  before.post(kLane, {.save = 100, .phase = SavePhase::done});
  Heartbeats now(directory.path(), 2, 1, 2);
  now.post(kLane, {.save = 1, .phase = SavePhase::agree});
  const auto all = now.read(kLane);
  EXPECT_FALSE(all[0]);
  ASSERT_TRUE(all[1]);
  EXPECT_EQ(all[1]->save, 1U);
}

TEST(Heartbeats, IsSilentWhereThereIsNoDirectory) {
  Heartbeats board("/nonexistent/for/sure", 1, 0, 1);
  board.post(kLane, {.save = 1});
  EXPECT_FALSE(board.read(kLane)[0]);
}

TEST(Heartbeats, KeepsTheTwoLanesOfARankApart) {
  const test::TempDir directory;
  Heartbeats board(directory.path(), 1, 0, 1);
  board.post(HeartbeatLane::background, {.save = 1, .phase = SavePhase::write});
  board.post(HeartbeatLane::foreground, {.save = 2, .phase = SavePhase::open});
  EXPECT_EQ(board.read(HeartbeatLane::background)[0]->save, 1U);
  EXPECT_EQ(board.read(HeartbeatLane::foreground)[0]->save, 2U);
}

TEST(Heartbeats, TellsThatARankHasPostedAgain) {
  const test::TempDir directory;
  Heartbeats first(directory.path(), 1, 0, 2);
  Heartbeats second(directory.path(), 1, 1, 2);
  first.post(kLane, {.save = 1});
  second.post(kLane, {.save = 1});
  const auto before = first.read(kLane, 1);
  ASSERT_TRUE(before);
  EXPECT_EQ(first.read(kLane, 1)->unix_ns, before->unix_ns);
  second.post(kLane, {.save = 1});
  EXPECT_GT(first.read(kLane, 1)->unix_ns, before->unix_ns);
  EXPECT_EQ(first.read(kLane)[1]->unix_ns, first.read(kLane, 1)->unix_ns);
  second.post_sometimes(kLane, {.save = 9}, 60);
  EXPECT_EQ(first.read(kLane)[1]->save, 1U);
}

TEST(Heartbeats, NamesNoMoreThanSoMany) {
  const test::TempDir directory;
  const Heartbeats board(directory.path(), 1, 0, 1000);
  EXPECT_THAT(board.missing(kLane, {.save = 1}, 3), HasSubstr("and 997 ranks more"));
}

}  // namespace
}  // namespace muster::store::heartbeats_test
