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
constexpr auto kLane = store::HeartbeatLane::background;
constexpr double kTimeout_s = 1;

// Looks as the thread that commits does; whether it was over before so many seconds had passed.
bool is_over_within(ProgressDeadline& deadline, double seconds) {
  const Stopwatch watch;
  while (watch.seconds() < seconds) {
    if (deadline.is_over()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

class ProgressDeadlineOf : public testing::Test {
 protected:
  Heartbeats& heartbeats_of(int rank) { return *heartbeats_[static_cast<std::size_t>(rank)]; }

  // A rank that posts as long as this lives.
  std::jthread poster(int rank) {
    return std::jthread([this, rank](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        heartbeats_of(rank).post(kLane, {.save = 1, .phase = SavePhase::write});
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
  }

  void SetUp() override {
    for (int rank = 0; rank < 3; ++rank) {
      heartbeats_.push_back(std::make_unique<Heartbeats>(directory_.path(), 7, rank, 3));
    }
  }

  const test::TempDir directory_;
  std::vector<std::unique_ptr<Heartbeats>> heartbeats_;
};

TEST_F(ProgressDeadlineOf, EndsWhereNothingIsHeard) {
  for (const int rank : {0, 1}) {
    ProgressDeadline deadline(heartbeats_of(rank), kLane, rank, kTimeout_s);
    EXPECT_TRUE(is_over_within(deadline, 30));
    EXPECT_THAT(deadline.why(), testing::HasSubstr("nothing was heard"));
  }
}

TEST_F(ProgressDeadlineOf, Rank0LastsAsLongAsAnyOtherPosts) {
  const auto posting = poster(2);
  ProgressDeadline deadline(heartbeats_of(0), kLane, 0, kTimeout_s);
  EXPECT_FALSE(is_over_within(deadline, 2 * kTimeout_s));
}

TEST_F(ProgressDeadlineOf, OthersLastAsLongAsRank0Posts) {
  const auto posting = poster(0);
  ProgressDeadline deadline(heartbeats_of(1), kLane, 1, kTimeout_s);
  EXPECT_FALSE(is_over_within(deadline, 2 * kTimeout_s));
}

TEST_F(ProgressDeadlineOf, OthersIsNotForEachOther) {
  const auto posting = poster(2);
  ProgressDeadline deadline(heartbeats_of(1), kLane, 1, kTimeout_s);
  EXPECT_TRUE(is_over_within(deadline, 30));
}

TEST_F(ProgressDeadlineOf, AnyEndsWhereTheOtherGaveUp) {
  heartbeats_of(0).post(kLane, {.save = 1, .phase = SavePhase::gave_up});
  ProgressDeadline of_1(heartbeats_of(1), kLane, 1, 20);
  EXPECT_TRUE(is_over_within(of_1, 15));
  EXPECT_EQ(of_1.why(), "rank 0 gave up waiting");
  heartbeats_of(2).post(kLane, {.save = 1, .phase = SavePhase::gave_up});
  ProgressDeadline of_0(heartbeats_of(0), kLane, 0, 20);
  EXPECT_TRUE(is_over_within(of_0, 15));
  EXPECT_EQ(of_0.why(), "rank 2 gave up waiting");
}

// A program that polls now and then only: the time in between is its own.
TEST_F(ProgressDeadlineOf, DoesNotCountTheTimeInWhichNobodyAsks) {
  ProgressDeadline deadline(heartbeats_of(1), kLane, 1, kTimeout_s);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(deadline.is_over());
    std::this_thread::sleep_for(std::chrono::duration<double>(kTimeout_s));
  }
}

}  // namespace
}  // namespace muster::save::progress_deadline_test
