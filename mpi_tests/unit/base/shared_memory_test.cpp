// Memory that two processes share.

#include "base/shared_memory.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <muster/error.hpp>

#include "support/expect_error.hpp"

namespace muster::shared_memory_test {
namespace {

// Runs it in a process of its own, which must end well.
template <class Work>
void in_another_process(Work&& work) {
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    try {
      ::_exit(work() ? 0 : 1);
    } catch (...) {
      ::_exit(2);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SharedMemory, IsTheSameInBothProcesses) {
  auto mine = SharedMemory::create(10000);
  ASSERT_EQ(mine.bytes().size(), 10000U);
  EXPECT_TRUE(std::ranges::all_of(mine.bytes(), [](auto byte) { return byte == std::byte{0}; }));
  mine.bytes()[9999] = std::byte{7};
  const auto address = mine.address();
  in_another_process([&] {
    const auto theirs = SharedMemory::open(address);
    const bool seen = theirs.bytes().size() == 10000 && theirs.bytes()[9999] == std::byte{7};
    theirs.bytes()[0] = std::byte{9};
    return seen;
  });
  EXPECT_EQ(mine.bytes()[0], std::byte{9});
  const auto moved = std::move(mine);
  EXPECT_EQ(moved.bytes()[9999], std::byte{7});
}

TEST(SharedMemory, StaysAsLongAsAnybodyHasIt) {
  auto mine = SharedMemory::create(100);
  mine.bytes()[0] = std::byte{1};
  const auto seen = SharedMemory::open(mine.address());
  mine = {};
  EXPECT_EQ(seen.bytes()[0], std::byte{1});
}

TEST(SharedMemory, IsNotTakenForAnother) {
  const auto mine = SharedMemory::create(100);
  auto wrong = mine.address();
  wrong.token ^= 1U;
  test::error_of(ErrorKind::io, [&] { static_cast<void>(SharedMemory::open(wrong)); });
  wrong = mine.address();
  wrong.bytes += 1;
  test::error_of(ErrorKind::io, [&] { static_cast<void>(SharedMemory::open(wrong)); });
  auto gone = SharedMemory::create(100).address();
  gone.descriptor = 100000;
  test::error_of(ErrorKind::not_found, [&] { static_cast<void>(SharedMemory::open(gone)); });
}

}  // namespace
}  // namespace muster::shared_memory_test
