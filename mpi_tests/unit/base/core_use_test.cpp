#include "base/core_use.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <ctime>
#include <thread>

#include "base/clock.hpp"

namespace muster::core_use_test {
namespace {

// Of one core, whatever the machine has.
class CoreUseTest : public testing::Test {
 protected:
  CoreUseTest() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t i = 0; i < CPU_SETSIZE; ++i) {
      if (!CPU_ISSET(i, &before_)) continue;
      CPU_SET(i, &one);
      break;
    }
    sched_setaffinity(0, sizeof one, &one);
  }
  ~CoreUseTest() override { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

TEST_F(CoreUseTest, IsIdleWhileItSleepsAndBusyWhileItComputes) {
  CoreUse use(1);
  EXPECT_EQ(use.idle_cores(), 1) << "too early to tell";
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_GT(use.idle_cores(), 0.5);
  // Others may want this core, too: until it had it for long enough.
  const Stopwatch watch;
  const auto cpu_s = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  const double begun_s = cpu_s();
  while (cpu_s() - begun_s < 0.2) {
  }
  EXPECT_NEAR(use.idle_cores(), 1 - 0.2 / watch.seconds(), 0.1);
  const double at_once = use.idle_cores();
  EXPECT_EQ(use.idle_cores(), at_once) << "the answer of before, where no time has passed";
}

TEST_F(CoreUseTest, HasAtLeastOneCore) { EXPECT_EQ(CoreUse(1 << 20).idle_cores(), 1); }

}  // namespace
}  // namespace muster::core_use_test
