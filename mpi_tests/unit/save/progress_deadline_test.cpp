// How long a rank waits for the others of a background save.

#include "save/progress_deadline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "support/files.hpp"

namespace muster::save::progress_deadline_test {
namespace {

using store::Heartbeats;
using store::SavePhase;

constexpr auto kLane = store::HeartbeatLane::background;
constexpr double kTimeout_s = 1;

// Looks as the thread that commits does; whether it was over before so many seconds had passed.
bool is_over_within(ProgressDeadline& patience, double seconds) {
  const Stopwatch watch;
  while (watch.seconds() < seconds) {
    if (patience.is_over()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

class PatienceOf : public testing::Test {
 protected:
  Heartbeats& board(int rank) { return *boards_[static_cast<std::size_t>(rank)]; }

  // A rank that posts as long as this lives.
  std::jthread poster(int rank) {
    return std::jthread([this, rank](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        board(rank).post(kLane, {.save = 1, .phase = SavePhase::write});
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
  }

  void SetUp() override {
    for (int rank = 0; rank < 3; ++rank) {
      boards_.push_back(std::make_unique<Heartbeats>(directory_.path(), 7, rank, 3));
    }
  }

  const test::TempDir directory_;
  std::vector<std::unique_ptr<Heartbeats>> boards_;
};

TEST_F(PatienceOf, EndsWhereNothingIsHeard) {
  for (const int rank : {0, 1}) {
    ProgressDeadline patience(board(rank), rank, kTimeout_s);
    EXPECT_TRUE(is_over_within(patience, 30));
    EXPECT_THAT(patience.why(), testing::HasSubstr("nothing was heard"));
  }
}

TEST_F(PatienceOf, Rank0LastsAsLongAsAnyOtherPosts) {
  const auto posting = poster(2);
  ProgressDeadline patience(board(0), 0, kTimeout_s);
  EXPECT_FALSE(is_over_within(patience, 2 * kTimeout_s));
}

TEST_F(PatienceOf, OthersLastAsLongAsRank0Posts) {
  const auto posting = poster(0);
  ProgressDeadline patience(board(1), 1, kTimeout_s);
  EXPECT_FALSE(is_over_within(patience, 2 * kTimeout_s));
}

TEST_F(PatienceOf, OthersIsNotForEachOther) {
  const auto posting = poster(2);
  ProgressDeadline patience(board(1), 1, kTimeout_s);
  EXPECT_TRUE(is_over_within(patience, 30));
}

TEST_F(PatienceOf, AnyEndsWhereTheOtherGaveUp) {
  board(0).post(kLane, {.save = 1, .phase = SavePhase::gave_up});
  ProgressDeadline of_1(board(1), 1, 20);
  EXPECT_TRUE(is_over_within(of_1, 15));
  EXPECT_EQ(of_1.why(), "rank 0 gave up waiting");
  board(2).post(kLane, {.save = 1, .phase = SavePhase::gave_up});
  ProgressDeadline of_0(board(0), 0, 20);
  EXPECT_TRUE(is_over_within(of_0, 15));
  EXPECT_EQ(of_0.why(), "rank 2 gave up waiting");
}

// A program that polls now and then only: the time in between is its own.
TEST_F(PatienceOf, DoesNotCountTheTimeInWhichNobodyAsks) {
  ProgressDeadline patience(board(1), 1, kTimeout_s);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(patience.is_over());
    std::this_thread::sleep_for(std::chrono::duration<double>(kTimeout_s));
  }
}

}  // namespace
}  // namespace muster::save::progress_deadline_test
