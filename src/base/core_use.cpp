#include "base/core_use.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/failpoint.hpp"

namespace muster {

namespace {

constexpr double kShortestS = 0.05;

double process_cpu_s() {
  timespec time{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// Those that the scheduler lets it use, but no more than its part of all.
double share_of_cores(int processes) {
  const auto all = static_cast<double>(std::max<long>(::sysconf(_SC_NPROCESSORS_ONLN), 1));
  auto allowed = all;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) allowed = CPU_COUNT(&set);
  return std::max(1.0, std::min(allowed, all / processes));
}

}  // namespace

CoreUse::CoreUse(int processes) : share_(share_of_cores(processes)), idle_(share_), cpu_s_(process_cpu_s()) {}

double CoreUse::idle_cores() {
  if (failpoint::is_armed("cores.busy")) return 0;
  if (failpoint::is_armed("cores.idle")) return share_;
  const double passed_s = since_.seconds();
  if (passed_s < kShortestS) return idle_;
  const double cpu_s = process_cpu_s();
  idle_ = std::max(0.0, share_ - (cpu_s - cpu_s_) / passed_s);
  cpu_s_ = cpu_s;
  since_ = Stopwatch();
  return idle_;
}

}  // namespace muster
