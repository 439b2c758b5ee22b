// Signals that are noticed, and handlers that were there before.

#include "policy/signal_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <optional>

#include "support/expect_error.hpp"

namespace muster::policy::signal_watch_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

volatile std::sig_atomic_t plain_calls = 0;
volatile std::sig_atomic_t told_signal = 0;

struct sigaction current(int number) {
  struct sigaction action {};
  ::sigaction(number, nullptr, &action);
  return action;
}

TEST(SignalWatch, TellsWhatCameSinceItWasAsked) {
  SignalWatch watch({SIGUSR1, SIGUSR2});
  EXPECT_THAT(watch.take(), IsEmpty());
  std::raise(SIGUSR2);
  std::raise(SIGUSR1);
  std::raise(SIGUSR1);
  EXPECT_THAT(watch.take(), ElementsAre(SIGUSR1, SIGUSR2));
  EXPECT_THAT(watch.take(), IsEmpty());
}

TEST(SignalWatch, CallsTheHandlerBefore) {
  std::signal(SIGUSR1, [](int) { plain_calls = plain_calls + 1; });
  struct sigaction action {};
  action.sa_sigaction = [](int number, siginfo_t* info, void*) { told_signal = info->si_signo == number ? number : 0; };
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGUSR2, &action, nullptr);
  {
    SignalWatch watch({SIGUSR1, SIGUSR2});
    std::raise(SIGUSR1);
    std::raise(SIGUSR2);
    EXPECT_EQ(plain_calls, 1);
    EXPECT_EQ(told_signal, SIGUSR2);
    EXPECT_THAT(watch.take(), ElementsAre(SIGUSR1, SIGUSR2));
  }
  std::raise(SIGUSR1);
  EXPECT_EQ(plain_calls, 2);
  std::signal(SIGUSR1, SIG_DFL);
  std::signal(SIGUSR2, SIG_DFL);
}

TEST(SignalWatch, LeavesTheProcessAsItWas) {
  const auto before = current(SIGTERM).sa_handler;
  {
    std::optional<SignalWatch> first(std::in_place, std::vector<int>{SIGTERM});
    SignalWatch second({SIGTERM});
    first.reset();
    std::raise(SIGTERM);  // would end the process
    EXPECT_THAT(second.take(), ElementsAre(SIGTERM));
  }
  EXPECT_EQ(current(SIGTERM).sa_handler, before);
}

TEST(SignalWatch, StaysFoundByAHandlerThatCameAfter) {
  static struct sigaction ours {};
  {
    SignalWatch watch({SIGUSR1});
    struct sigaction later {};
    later.sa_sigaction = [](int number, siginfo_t* info, void* context) { ours.sa_sigaction(number, info, context); };
    later.sa_flags = SA_SIGINFO;
    ::sigaction(SIGUSR1, &later, &ours);
    std::raise(SIGUSR1);
    EXPECT_THAT(watch.take(), ElementsAre(SIGUSR1));
  }
  std::raise(SIGUSR1);  // the later handler is still there, and so is what it calls
  {
    SignalWatch again({SIGUSR1});  // the two do not call each other
    std::raise(SIGUSR1);
    EXPECT_THAT(again.take(), ElementsAre(SIGUSR1));
  }
  std::signal(SIGUSR1, SIG_DFL);
  {
    SignalWatch anew({SIGUSR1});
    std::raise(SIGUSR1);  // would end the process
    EXPECT_THAT(anew.take(), ElementsAre(SIGUSR1));
  }
}

TEST(SignalNames, BothWays) {
  EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
  for (const char* name : {"SIGTERM", "TERM", "term", "15"}) EXPECT_EQ(signal_number(name), SIGTERM) << name;
  for (const char* name : {"", "SIG", "KILL", "SIGSTOP", "0", "4711", "USR3", "9"}) {
    test::error_of(ErrorKind::usage, [&] { signal_number(name); });
  }
  test::error_of(ErrorKind::usage, [] { SignalWatch watch({SIGKILL}); });
}

}  // namespace
}  // namespace muster::policy::signal_watch_test
