#include "base/poll_pause.hpp"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(PollPause, IsShortAtFirstAndASixteenthOfTheWaitAfterThat) {
  EXPECT_DOUBLE_EQ(PollPause::after_s(0), 50e-6);
  EXPECT_DOUBLE_EQ(PollPause::after_s(800e-6), 50e-6);
  EXPECT_DOUBLE_EQ(PollPause::after_s(1600e-6), 100e-6);
  EXPECT_DOUBLE_EQ(PollPause::after_s(16e-3), 1e-3);
}

TEST(PollPause, GrowsNoFurtherThanTwoMilliseconds) {
  EXPECT_DOUBLE_EQ(PollPause::after_s(32e-3), 2e-3);
  EXPECT_DOUBLE_EQ(PollPause::after_s(3600), 2e-3);
}

// A loop that waits for a minute wakes 30,000 times, where one with the shortest pause would wake 1,200,000 times.
TEST(PollPause, WakesSeldomInALongWait) {
  double waited_s = 0;
  int wakings = 0;
  for (; waited_s < 60; ++wakings) waited_s += PollPause::after_s(waited_s);
  EXPECT_LT(wakings, 31000);
}

TEST(PollPause, SleepsAndCountsTheWait) {
  const PollPause pause;
  pause.sleep();
  pause.sleep();
  EXPECT_GE(pause.waited_s(), 100e-6);
}

}  // namespace
}  // namespace muster
