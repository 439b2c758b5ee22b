// The board on which ranks write what they are at.

#include "store/progress_board.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.hpp"

namespace muster::store::progress_board_test {
namespace {

using testing::HasSubstr;

constexpr auto kLane = ProgressLane::background;

TEST(ProgressBoard, NamesTheRanksThatAreBehind) {
  const test::TempDir directory;
  std::vector<std::unique_ptr<ProgressBoard>> ranks;
  for (int rank = 0; rank < 5; ++rank) ranks.push_back(std::make_unique<ProgressBoard>(directory.path(), 42, rank, 5));
  ranks[0]->post(kLane, {.save = 3, .phase = ProgressPhase::publish});
  ranks[1]->post(kLane, {.save = 3, .phase = ProgressPhase::write, .bytes = 10, .total_bytes = 70});
  ranks[2]->post(kLane, {.save = 2, .phase = ProgressPhase::done});
  ranks[3]->post(kLane, {.save = 4, .phase = ProgressPhase::agree});
  const auto missing = ranks[0]->missing(kLane, {.save = 3, .phase = ProgressPhase::publish});
  EXPECT_THAT(missing, HasSubstr("rank 1: last seen in phase write, 10 of 70 bytes written, "));
  EXPECT_THAT(missing, HasSubstr("rank 2: not seen in this save; last in done of the save 1 before it"));
  EXPECT_THAT(missing, HasSubstr("rank 4: not seen in any save of this job"));
  EXPECT_THAT(missing, testing::Not(HasSubstr("rank 0:")));
  EXPECT_THAT(missing, testing::Not(HasSubstr("rank 3:")));
}

TEST(ProgressBoard, DoesNotTakeAnotherJobsLinesForItsOwn) {
  const test::TempDir directory;
  ProgressBoard before(directory.path(), 1, 0, 2);
  before.post(kLane, {.save = 100, .phase = ProgressPhase::done});
  ProgressBoard now(directory.path(), 2, 1, 2);
  now.post(kLane, {.save = 1, .phase = ProgressPhase::agree});
  const auto all = now.read(kLane);
  EXPECT_FALSE(all[0]);
  ASSERT_TRUE(all[1]);
  EXPECT_EQ(all[1]->save, 1U);
}

TEST(ProgressBoard, IsSilentWhereThereIsNoDirectory) {
  ProgressBoard board("/nonexistent/for/sure", 1, 0, 1);
  board.post(kLane, {.save = 1});
  EXPECT_FALSE(board.read(kLane)[0]);
}

TEST(ProgressBoard, KeepsTheTwoLanesOfARankApart) {
  const test::TempDir directory;
  ProgressBoard board(directory.path(), 1, 0, 1);
  board.post(ProgressLane::background, {.save = 1, .phase = ProgressPhase::write});
  board.post(ProgressLane::foreground, {.save = 2, .phase = ProgressPhase::open});
  EXPECT_EQ(board.read(ProgressLane::background)[0]->save, 1U);
  EXPECT_EQ(board.read(ProgressLane::foreground)[0]->save, 2U);
}

TEST(ProgressBoard, TellsThatARankHasPostedAgain) {
  const test::TempDir directory;
  ProgressBoard first(directory.path(), 1, 0, 2);
  ProgressBoard second(directory.path(), 1, 1, 2);
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

TEST(ProgressBoard, NamesNoMoreThanSoMany) {
  const test::TempDir directory;
  const ProgressBoard board(directory.path(), 1, 0, 1000);
  EXPECT_THAT(board.missing(kLane, {.save = 1}, 3), HasSubstr("and 997 ranks more"));
}

}  // namespace
}  // namespace muster::store::progress_board_test
