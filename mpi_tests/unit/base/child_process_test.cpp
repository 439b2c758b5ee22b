// Child processes: talking in lines, deadlines, exit statuses.

#include "base/child_process.hpp"

#include <gtest/gtest.h>

#include <csignal>

#include "support/expect_error.hpp"

namespace muster::child_process_test {
namespace {

constexpr double kTimeoutS = 60;

TEST(ChildProcess, IsTalkedToInLines) {
  ChildProcess child({"cat"});
  child.write_line("first");
  child.write_line("second");
  EXPECT_EQ(child.read_line(kTimeoutS), "first");
  EXPECT_EQ(child.read_line(kTimeoutS), "second");
  test::error_of(ErrorKind::timeout, [&] { child.read_line(0.01); });
}

TEST(ChildProcess, SaysAllAndEndsWithAStatus) {
  ChildProcess child({"sh", "-c", "echo $MUSTER; echo worse >&2; exit 3"}, {"MUSTER=m", "PATH=/usr/bin:/bin"},
                     StderrTo::output);
  EXPECT_EQ(child.read_to_end(kTimeoutS), "m\nworse\n");
  EXPECT_EQ(child.wait(kTimeoutS), 3);
}

TEST(ChildProcess, HasNoSignalBlocked) {
  sigset_t term;
  sigset_t before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &before);
  ChildProcess child({"sh", "-c", "kill -TERM $$; sleep 60"});
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(child.wait(kTimeoutS), 128 + SIGTERM);
}

TEST(ChildProcess, ThatIsGoneIsAnError) {
  test::error_of(ErrorKind::io, [] { ChildProcess({"/nowhere/at/all"}); });
  ChildProcess child({"true"});
  test::error_of(ErrorKind::io, [&] { child.read_line(kTimeoutS); });
  EXPECT_EQ(child.wait(kTimeoutS), 0);
  test::error_of(ErrorKind::io, [&] { child.write_line("anybody?"); });
}

}  // namespace
}  // namespace muster::child_process_test
