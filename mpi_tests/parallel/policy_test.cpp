// SavePolicy on real ranks: the same answers everywhere, whatever one rank alone knows.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <muster/policy.hpp>
#include <sstream>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "support/collective.hpp"
#include "support/expect_error.hpp"
#include "support/sample.hpp"
#include "support/scratch.hpp"

namespace muster::policy_test {
namespace {

using test::error_of;
using test::same_everywhere;
using test::world_rank;
using test::world_size;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

SavePolicyOptions never() { return {.before_job_end = false}; }

// A loop of some steps; which were saved.
std::vector<std::int64_t> saved_steps(SavePolicy& policy, std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> saved;
  for (auto step = first; step <= last; ++step) {
    if (policy.should_save(step)) saved.push_back(step);
  }
  return saved;
}

TEST(SavePolicyTest, SavesAtMultiples) {
  auto options = never();
  options.every_steps = 10;
  SavePolicy policy(MPI_COMM_WORLD, options);
  EXPECT_THAT(saved_steps(policy, 1, 35), ElementsAre(10, 20, 30));
  SavePolicy resumed(MPI_COMM_WORLD, options);
  EXPECT_THAT(saved_steps(resumed, 21, 41), ElementsAre(30, 40));
  // Not asked at each step, and asked more than once.
  SavePolicy seldom(MPI_COMM_WORLD, options);
  EXPECT_FALSE(seldom.should_save(7));
  EXPECT_TRUE(seldom.should_save(14));
  EXPECT_EQ(seldom.reason(), SaveReason::steps);
  EXPECT_FALSE(seldom.should_save(14));
  EXPECT_EQ(seldom.reason(), SaveReason::none);
  EXPECT_EQ(seldom.why(), "");
  EXPECT_TRUE(seldom.should_save(20));
  EXPECT_FALSE(seldom.should_stop());
}

TEST(SavePolicyTest, ASignalToOneRankIsHeardByAll) {
  SavePolicy policy(MPI_COMM_WORLD, never());
  const int last = world_size() - 1;
  EXPECT_FALSE(policy.should_save(1));
  if (world_rank() == last) std::raise(SIGUSR2);
  EXPECT_FALSE(policy.should_save(2));  // it tells
  EXPECT_TRUE(policy.should_save(3));   // all have heard
  EXPECT_EQ(policy.reason(), SaveReason::signal);
  EXPECT_EQ(policy.why(), "SIGUSR2 came to rank " + std::to_string(last));
  EXPECT_FALSE(policy.should_stop());
  EXPECT_FALSE(policy.should_save(4));
  if (world_rank() == 0) std::raise(SIGTERM);
  EXPECT_FALSE(policy.should_save(5));
  EXPECT_TRUE(policy.should_save(6));
  EXPECT_TRUE(policy.should_stop());
  if (world_rank() == 0) std::raise(SIGTERM);  // sent again by who lost patience: no second save
  EXPECT_FALSE(policy.should_save(7));
  EXPECT_FALSE(policy.should_save(8));
  EXPECT_TRUE(policy.should_stop());
}

TEST(SavePolicyTest, OneSignalThatReachesRanksOnBothSidesOfACallIsOneSave) {
  SavePolicy policy(MPI_COMM_WORLD, never());
  if (world_rank() == 0) std::raise(SIGUSR2);
  EXPECT_FALSE(policy.should_save(1));
  if (world_rank() != 0) std::raise(SIGUSR2);
  EXPECT_TRUE(policy.should_save(2));
  EXPECT_FALSE(policy.should_save(3));
  EXPECT_FALSE(policy.should_save(4));
}

TEST(SavePolicyTest, ASignalBeforeEveryStepIsASaveEveryOtherStep) {
  SavePolicy policy(MPI_COMM_WORLD, never());
  const int last = world_size() - 1;
  std::vector<std::int64_t> saved;
  for (std::int64_t step = 1; step <= 8; ++step) {
    if (world_rank() == last) std::raise(SIGUSR2);
    if (!policy.should_save(step)) continue;
    saved.push_back(step);
    EXPECT_EQ(policy.why(), "SIGUSR2 came to rank " + std::to_string(last));
  }
  // What comes in the step after a save may be the signal of that save, on its way to other ranks.
  EXPECT_THAT(saved, ElementsAre(2, 4, 6, 8));
}

// As an evaluation does, between two steps.
TEST(SavePolicyTest, IsAskedAnyNumberOfTimesAtOneStep) {
  auto options = never();
  options.every_steps = 10;
  SavePolicy policy(MPI_COMM_WORLD, options);
  const int last = world_size() - 1;
  EXPECT_THAT(saved_steps(policy, 1, 9), ElementsAre());
  for (int call = 0; call < 20; ++call) EXPECT_FALSE(policy.should_save(9)) << call;
  EXPECT_TRUE(policy.should_save(10));
  for (int call = 0; call < 20; ++call) EXPECT_FALSE(policy.should_save(10)) << call;
  EXPECT_EQ(policy.reason(), SaveReason::none);
  // A signal is heard there, at a step that was saved already, and each of them once.
  const auto heard_at_ten = [&](int rank, int signal) {
    if (world_rank() == rank) std::raise(signal);
    std::vector<std::string> heard;
    for (int call = 0; call < 20; ++call) {
      if (policy.should_save(10)) heard.push_back(std::to_string(call) + ": " + policy.why());
    }
    return heard;
  };
  EXPECT_THAT(heard_at_ten(last, SIGUSR2), ElementsAre("1: SIGUSR2 came to rank " + std::to_string(last)));
  EXPECT_THAT(heard_at_ten(0, SIGUSR2), ElementsAre("1: SIGUSR2 came to rank 0"));
  EXPECT_FALSE(policy.should_stop());
  // Saved because of a signal, a step is still not the one that is due.
  EXPECT_THAT(saved_steps(policy, 11, 21), ElementsAre(20));
  EXPECT_FALSE(policy.should_stop());
  if (world_rank() == last) std::raise(SIGUSR1);
  EXPECT_FALSE(policy.should_save(21));
  EXPECT_FALSE(policy.should_stop());
  EXPECT_TRUE(policy.should_save(21));
  EXPECT_TRUE(policy.should_stop());
}

TEST(SavePolicyTest, SignalsAtRandomMomentsGiveTheSameAnswersOnAllRanks) {
  auto options = never();
  options.every_steps = 7;
  options.every_minutes = 0.2 / 60;
  options.timeout_s = 30;  // ranks that do not stop at the same step wait for each other
  SavePolicy policy(MPI_COMM_WORLD, options);
  test::Random random(static_cast<std::uint64_t>(world_rank()) * 77 + 5);
  std::atomic<bool> may_stop{false};
  std::atomic<int> sent{0};
  // From a thread of its own, so that they come anywhere inside and outside of the calls.
  std::jthread sender([&, seed = random()](const std::stop_token& is_over) {
    test::Random pause(seed);
    while (!is_over.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::microseconds(test::pick(pause, 0, 3000)));
      const auto which = may_stop ? test::pick(pause, 0, 5) : 5;
      ::kill(::getpid(), which == 0 ? SIGUSR1 : which == 1 ? SIGTERM : SIGUSR2);
      ++sent;
    }
  });
  std::ostringstream told;
  int by_signal = 0;
  int by_time = 0;
  const auto ask = [&](std::int64_t step) {
    if (test::pick(random, 0, 40) == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    told << step << policy.should_save(step) << static_cast<int>(policy.reason()) << policy.why()
         << policy.should_stop() << '\n';
    by_signal += policy.reason() == SaveReason::signal ? 1 : 0;
    by_time += policy.reason() == SaveReason::minutes ? 1 : 0;
  };
  std::int64_t step = 1;
  // Most take some seconds for 3000 steps; where the sender hardly gets to run, more steps have the signals.
  for (; step <= 3000 || (by_signal <= 10 && step <= 300'000); ++step) {
    ask(step);
    ASSERT_FALSE(policy.should_stop());
  }
  // Each rank is told to stop at a moment of its own, or more than once, or not before others have been.
  may_stop = true;
  while (!policy.should_stop()) ask(step++);
  EXPECT_EQ(policy.reason(), SaveReason::signal);
  EXPECT_THAT(policy.why(), testing::AnyOf(HasSubstr("SIGUSR1 came to rank "), HasSubstr("SIGTERM came to rank ")));
  // Who goes on all the same is told no different.
  for (const auto end = step + 500; step < end; ++step) {
    ask(step);
    ASSERT_TRUE(policy.should_stop());
    EXPECT_THAT(policy.why(), Not(testing::AnyOf(HasSubstr("SIGUSR1"), HasSubstr("SIGTERM"))));
  }
  sender.request_stop();
  sender.join();
  EXPECT_TRUE(same_everywhere(told.str()));
  EXPECT_GT(sent, 0);
  EXPECT_GT(by_signal, 10);
  // Ends with signals that were taken and not told: the next policy does not hear of them.
  SavePolicy next(MPI_COMM_WORLD, never());
  EXPECT_FALSE(next.should_save(1));
  EXPECT_FALSE(next.should_save(2));
  EXPECT_FALSE(next.should_stop());
}

TEST(SavePolicyTest, RankZerosClockIsEveryones) {
  auto options = never();
  options.every_minutes = 0.2 / 60;
  SavePolicy policy(MPI_COMM_WORLD, options);
  const Stopwatch watch;
  int saves = 0;
  std::string why;
  for (std::int64_t step = 1; saves < 3; ++step) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (!policy.should_save(step)) continue;
    ++saves;
    EXPECT_EQ(policy.reason(), SaveReason::minutes);
    why += policy.why();
  }
  EXPECT_GE(watch.seconds(), 0.6);
  EXPECT_THAT(why, HasSubstr("the interval is 0.2 s"));
  EXPECT_TRUE(same_everywhere(why));
}

// The interval of the mean time between failures, from what rank 0 was told that saves cost.
struct Failing {
  std::string what;
  SavePolicyOptions options;
  std::string interval;
  SaveReason reason = SaveReason::failures;
};

std::vector<Failing> failing_jobs() {
  constexpr double kHour = 3600;
  const int nodes = failpoint::compiled_in() ? world_size() : 1;  // see below
  auto options = never();
  options.max_save_share = 1;
  options.timeout_s = 30;
  const auto with = [&](auto change) {
    auto changed = options;
    change(changed);
    return changed;
  };
  return {
      {"of the job", with([](auto& o) { o.mean_hours_between_failures = 2.25 / kHour; }), "0.3 s"},
      {"of a node", with([&](auto& o) { o.node_mean_hours_between_failures = nodes * 2.25 / kHour; }), "0.3 s"},
      {"of the job and of a node", with([](auto& o) {
         o.mean_hours_between_failures = 2.25 / kHour;
         o.node_mean_hours_between_failures = 1000;
       }),
       "0.3 s"},
      {"with a share that saves may take", with([](auto& o) {
         o.mean_hours_between_failures = 2.25 / kHour;
         o.max_save_share = 0.05;
       }),
       "0.4 s"},
      {"with an upper bound", with([](auto& o) {
         o.mean_hours_between_failures = 2.25 / kHour;
         o.every_minutes = 0.1 / 60;
       }),
       "0.1 s", SaveReason::minutes},
  };
}

TEST(SavePolicyTest, TheMeanTimeBetweenFailuresSaysHowOften) {
  // As if each rank had a node of its own.
  if (world_rank() > 0) failpoint::arm("node.own", "pretend");
  for (const auto& [what, options, interval, reason] : failing_jobs()) {
    SCOPED_TRACE(what);
    SavePolicy policy(MPI_COMM_WORLD, options);
    const bool is_first = world_rank() == 0;
    policy.note_save(is_first ? 1 : 1000, is_first ? 0.02 : 1000);
    const Stopwatch watch;
    std::ostringstream told;
    int saves = 0;
    for (std::int64_t step = 1; saves < 3 && step <= 2000; ++step) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      const bool saves_now = policy.should_save(step);
      told << saves_now << static_cast<int>(policy.reason()) << policy.why() << '\n';
      if (!saves_now) continue;
      ++saves;
      EXPECT_EQ(policy.reason(), reason);
      EXPECT_THAT(policy.why(), HasSubstr("since the last save, and the interval is " + interval));
    }
    EXPECT_EQ(saves, 3);
    const double earliest_s = 3 * (std::stod(interval) - 0.05);  // of the rounded text
    if (is_first) {
      EXPECT_GE(watch.seconds(), earliest_s);
    }
    EXPECT_FALSE(policy.should_stop());
    EXPECT_TRUE(same_everywhere(told.str()));
  }
  failpoint::disarm_all();
}

TEST(SavePolicyTest, StopsBeforeTheJobsEnd) {
  const double end_s = static_cast<double>(unix_ns()) / 1e9 + 3;
  SavePolicy policy(MPI_COMM_WORLD, {.job_end_unix_s = end_s, .end_margin_s = 0, .first_save_s = 0});
  // When each call began and when it had returned: what a busy machine makes of a step of 10 ms.
  struct Call {
    double begun_s;
    double ended_s;
  };
  const Stopwatch watch;
  std::vector<Call> calls;
  const auto timed = [&](const auto& call) {
    const double begun_s = watch.seconds();
    const bool saves = call();
    calls.push_back({begun_s, watch.seconds()});
    return saves;
  };
  timed([&] {
    policy.note_save(1.0, 0.2);
    return false;
  });
  std::int64_t step = 1;
  while (!timed([&] { return policy.should_save(step); })) {
    ++step;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(policy.reason(), SaveReason::job_end);
  EXPECT_TRUE(policy.should_stop());
  EXPECT_THAT(policy.why(), HasSubstr("and saves took up to 1.0 s"));
  EXPECT_TRUE(same_everywhere(policy.why() + std::to_string(step)));
  EXPECT_EQ(policy.job_left_s().has_value(), world_rank() == 0);
  if (policy.job_left_s()) {
    const double left_s = *policy.job_left_s();
    // The call before the last one has found that it is time: 1.5 x the longest save and 2 x the longest step are left.
    const auto due = calls.size() - 2;
    double longest_step_s = 0;
    for (std::size_t i = 1; i <= due; ++i) {
      longest_step_s = std::max(longest_step_s, calls[i].ended_s - calls[i - 1].begun_s);
    }
    EXPECT_LT(left_s, 1.5 + 2 * longest_step_s);
    // Its predecessor has not found that.
    if (due > 1) {
      EXPECT_GT(left_s, 1.5 - (watch.seconds() - calls[due - 1].begun_s));
    }
  }
  EXPECT_FALSE(policy.should_save(step + 1));
  EXPECT_FALSE(policy.should_save(step + 2));
}

TEST(SavePolicyTest, TheEnvironmentSaysWhenTheJobEnds) {
  // Rank 0's counts; the others' may be wrong.
  const double now_s = static_cast<double>(unix_ns()) / 1e9;
  ::setenv("MUSTER_JOB_END", world_rank() == 0 ? std::to_string(now_s + 1).c_str() : "9e9", 1);
  SavePolicy policy(MPI_COMM_WORLD);
  policy.note_save(100, 100);
  EXPECT_FALSE(policy.should_save(1));
  EXPECT_TRUE(policy.should_save(2));
  EXPECT_EQ(policy.reason(), SaveReason::job_end);
  // Left over from an earlier job, and in milliseconds.
  for (const double wrong_s : {now_s - 5, now_s * 1000}) {
    ::setenv("MUSTER_JOB_END", std::to_string(wrong_s).c_str(), 1);
    testing::internal::CaptureStderr();
    SavePolicy endless(MPI_COMM_WORLD);
    endless.note_save(100, 100);
    for (int step = 1; step < 4; ++step) EXPECT_FALSE(endless.should_save(step));
    EXPECT_EQ(testing::internal::GetCapturedStderr().empty(), world_rank() != 0);
  }
  ::setenv("MUSTER_JOB_END", world_rank() == 0 ? "soon" : "9e9", 1);
  const auto error = test::collective_error(ErrorKind::usage, "policy", [] { SavePolicy wrong(MPI_COMM_WORLD); });
  EXPECT_THAT(error.what(), HasSubstr("MUSTER_JOB_END is \"soon\""));
  ::unsetenv("MUSTER_JOB_END");
}

TEST(SavePolicyTest, RanksAtDifferentStepsAreFound) {
  if (world_size() == 1) GTEST_SKIP() << "needs two ranks";
  SavePolicy policy(MPI_COMM_WORLD, never());
  EXPECT_FALSE(policy.should_save(world_rank() == 1 ? 5 : 4));
  const auto message = error_of(ErrorKind::mismatch, [&] { policy.should_save(6); });
  EXPECT_THAT(message, HasSubstr("from 4 to 5"));
  EXPECT_FALSE(policy.should_save(7));
}

TEST(SavePolicyTest, NonsenseIsRefused) {
  for (const auto& options : {SavePolicyOptions{.every_steps = -1}, SavePolicyOptions{.every_minutes = -1},
                              SavePolicyOptions{.max_save_share = 0}, SavePolicyOptions{.timeout_s = 0},
                              SavePolicyOptions{.mean_hours_between_failures = -2}}) {
    test::collective_error(ErrorKind::usage, "policy", [&] { SavePolicy policy(MPI_COMM_WORLD, options); });
  }
  test::collective_error(ErrorKind::usage, "policy", [] {
    SavePolicy policy(MPI_COMM_WORLD, {.signals = {{SIGKILL, OnSignal::save}}});
  });
}

TEST(SavePolicyTest, WhatOneRankHasWrongAllHear) {
  if (world_size() == 1) GTEST_SKIP() << "needs two ranks";
  const bool odd = world_rank() == 1;
  test::collective_error(ErrorKind::usage, "policy",
                         [&] { SavePolicy policy(MPI_COMM_WORLD, {.every_minutes = odd ? -1.0 : 1.0}); });
  test::collective_error(ErrorKind::mismatch, "policy",
                         [&] { SavePolicy policy(MPI_COMM_WORLD, {.every_steps = odd ? 10 : 20}); });
  test::collective_error(ErrorKind::mismatch, "policy", [&] {
    SavePolicy policy(MPI_COMM_WORLD, {.signals = {{SIGUSR1, odd ? OnSignal::save : OnSignal::save_and_stop}}});
  });
}

TEST(SavePolicyTest, WhoDoesNotCallIsNamedAndThenGoesOn) {
  if (world_size() == 1) GTEST_SKIP() << "needs two ranks";
  testing::internal::CaptureStderr();
  const int late = world_size() == 4 ? 2 : 0;
  SavePolicy policy(MPI_COMM_WORLD, {.before_job_end = false, .warn_after_s = 0.3});
  EXPECT_FALSE(policy.should_save(1));
  if (world_rank() == late) {
    // Away from MPI and muster: in an evaluation of its own.
    std::this_thread::sleep_for(std::chrono::seconds(6));
  }
  EXPECT_FALSE(policy.should_save(2));
  EXPECT_FALSE(policy.should_save(3));
  MPI_Barrier(MPI_COMM_WORLD);
  const auto log = testing::internal::GetCapturedStderr();
  const int first = late == 0 ? 1 : 0;
  if (world_rank() == first) {
    EXPECT_THAT(log, HasSubstr("rank " + std::to_string(late) + ", which did not call it"));
  } else {
    EXPECT_EQ(log, "");
  }
}

TEST(SavePolicyTest, WhoNeverCallsIsGivenUp) {
  if (world_size() == 1) GTEST_SKIP() << "needs two ranks";
  // As early as that, also where a warning would come later.
  const double warn_after_s = world_size() == 2 ? 0.3 : 60;
  SavePolicy policy(MPI_COMM_WORLD, {.before_job_end = false, .warn_after_s = warn_after_s, .timeout_s = 2});
  if (world_rank() != 0) {
    // The last vote needs every rank to have come once.
    EXPECT_FALSE(policy.should_save(1));
    const Stopwatch watch;
    const auto message = error_of(ErrorKind::timeout, [&] { policy.should_save(2); });
    EXPECT_LT(watch.seconds(), 30);
    EXPECT_THAT(message, HasSubstr("rank 0, which did not call it"));
    error_of(ErrorKind::timeout, [&] { policy.should_save(3); });
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

}  // namespace
}  // namespace muster::policy_test
