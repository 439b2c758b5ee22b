// When time says that a save is due; no test waits, all times are passed in.

#include "policy/save_clock.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "policy/job_end.hpp"

namespace muster::policy::save_clock_test {
namespace {

TEST(SaveClock, IsDueWhenTheInterval_HasPassedSinceTheLastDecision) {
  SaveClock clock({.every_s = 60}, 1000);
  EXPECT_EQ(clock.due(1059).reason, SaveReason::none);
  EXPECT_EQ(clock.due(1060).reason, SaveReason::minutes);
  clock.note_decision(1070);
  EXPECT_EQ(clock.due(1129).reason, SaveReason::none);
  const auto due = clock.due(1131);
  EXPECT_EQ(due.reason, SaveReason::minutes);
  EXPECT_DOUBLE_EQ(due.first_s, 61);
  EXPECT_DOUBLE_EQ(due.second_s, 60);
}

TEST(SaveClock, IsNeverDueWithoutSettings) {
  const SaveClock clock({}, 0);
  EXPECT_EQ(clock.due(1e9).reason, SaveReason::none);
  EXPECT_FALSE(clock.left_s(1e9).has_value());
}

TEST(SaveClock, TakesTheIntervalOfTheMeanTimeBetweenFailuresAndItsUpperBound) {
  SaveClock clock({.mean_time_between_failures_s = 36000, .max_save_share = 1, .first_save_s = 20}, 0);
  const double guessed_s = save_interval_s(20, 36000, 1);
  EXPECT_EQ(clock.due(guessed_s - 1).reason, SaveReason::none);
  EXPECT_EQ(clock.due(guessed_s + 1).reason, SaveReason::failures);
  // Measured, what training waits counts; the median of the last five.
  for (const double blocked_s : {900.0, 5.0, 6.0, 5.0, 4.0, 5.0}) clock.note_save(0, 50, blocked_s);
  const double measured_s = save_interval_s(5, 36000, 1);
  EXPECT_LT(measured_s, guessed_s);
  EXPECT_EQ(clock.due(measured_s - 1).reason, SaveReason::none);
  EXPECT_EQ(clock.due(measured_s + 1).reason, SaveReason::failures);

  SaveClock bounded({.every_s = 100, .mean_time_between_failures_s = 36000, .first_save_s = 20}, 0);
  EXPECT_EQ(bounded.due(101).reason, SaveReason::minutes);
}

TEST(SaveClock, StopsWhileASaveStillFits) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> number(0.1, 1);
  for (int round = 0; round < 2000; ++round) {
    const double longest_step_s = 10 * number(random);
    const double longest_save_s = 100 * number(random);
    const double end_s = 5000 + 5000 * number(random);
    SaveClock clock({.end_s = end_s, .end_margin_s = 30, .first_save_s = 150}, 0);
    double now_s = 0;
    bool is_called_for = false;
    int saves = 0;
    for (;;) {
      // A step, and the answer to what the call before found.
      now_s += longest_step_s * (saves == 0 ? 1 : number(random));
      clock.note_call(now_s);
      if (is_called_for) break;
      if (saves < 6) {
        const double save_s = longest_save_s * (saves == 1 ? 1 : number(random));
        now_s += save_s;
        clock.note_save(now_s, save_s, save_s);
        ++saves;
      }
      const auto due = clock.due(now_s);
      is_called_for = due.reason == SaveReason::job_end;
      if (is_called_for) {
        ASSERT_DOUBLE_EQ(due.first_s, end_s - now_s);
      }
    }
    // It fits, with the margin; and the job was used up to then.
    ASSERT_LE(now_s + longest_save_s, end_s - 30) << "round " << round;
    ASSERT_GE(now_s, end_s - 30 - 3 * longest_step_s - 1.5 * longest_save_s - longest_save_s) << "round " << round;
  }
}

TEST(SaveClock, KeepsTimeFreeForSavesThatAreWaitedFor) {
  for (const int in_flight : {0, 1, 3}) {
    SaveClock clock({.end_s = 10000, .end_margin_s = 30, .saves_in_flight = in_flight}, 0);
    clock.note_save(0, 100, 1);
    const double needed_s = 150 * (1 + in_flight) + 30;
    EXPECT_EQ(clock.due(10000 - needed_s - 1).reason, SaveReason::none);
    EXPECT_EQ(clock.due(10000 - needed_s + 1).reason, SaveReason::job_end);
  }
}

TEST(SaveClock, GuessesLittleOfAShortJob) {
  const SaveClock clock({.end_s = 100, .end_margin_s = 30, .first_save_s = 60}, 0);
  EXPECT_EQ(clock.due(74).reason, SaveReason::none);
  EXPECT_EQ(clock.due(76).reason, SaveReason::job_end);
  // Begun when it is over already: at once.
  EXPECT_EQ(SaveClock({.end_s = 100}, 200).due(200).reason, SaveReason::job_end);
}

// Against the cost itself, found by trying: the share of time lost to saves, and to failures that come with a rate.
TEST(SaveInterval, LosesTheLeastTime) {
  for (const double cost_s : {0.5, 5.0, 60.0, 600.0}) {
    for (const double mean_s : {3600.0, 86400.0, 2.6e6}) {
      // From start to start t: each attempt is t long, and begins again where a failure comes (exponential).
      const auto time_per_work = [&](double t) { return mean_s * std::expm1(t / mean_s) / (t - cost_s); };
      const double found_s = save_interval_s(cost_s, mean_s, 1);
      double best = time_per_work(found_s);
      for (double factor = 0.2; factor < 5; factor *= 1.01) {
        if (found_s * factor > cost_s) best = std::min(best, time_per_work(found_s * factor));
      }
      EXPECT_LE(time_per_work(found_s), 1.001 * best) << cost_s << " of " << mean_s;
    }
  }
}

TEST(SaveInterval, KeepsToTheShare) {
  EXPECT_DOUBLE_EQ(save_interval_s(100, 3600, 0.05), 2000);
  EXPECT_GT(save_interval_s(100, 3.6e6, 0.05), 2000);
  EXPECT_GE(save_interval_s(100, 10, 1), 10);  // failures faster than saves
}

TEST(JobEnd, ReadsWhatSlurmPrints) {
  EXPECT_EQ(parse_time_left("3:04"), 184);
  EXPECT_EQ(parse_time_left("0:00"), 0);
  EXPECT_EQ(parse_time_left("2:03:04"), 2 * 3600 + 184);
  EXPECT_EQ(parse_time_left("1-02:03:04"), 26 * 3600 + 184);
  EXPECT_EQ(parse_time_left(" 59:59\n"), 3599);
  for (const char* text : {"UNLIMITED", "NOT_SET", "INVALID", "", "12", "1-3:04", "a:bc"}) {
    EXPECT_FALSE(parse_time_left(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace muster::policy::save_clock_test
