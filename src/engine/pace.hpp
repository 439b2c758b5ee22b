#pragma once
// Holds writes back to a rate.

#include <cstdint>
#include <functional>

#include "base/clock.hpp"

namespace muster::engine {

class Pace {
 public:
  // 0: as fast as it goes.
  explicit Pace(double bytes_per_s) : bytes_per_s_(bytes_per_s) {}
  // Sleeps until `bytes` more may go out at the rate, counted from the first call. What could not be used in time is
  // lost: after a pause there is no burst. Meanwhile `tick` is called now and then; what it throws ends the wait.
  void before(std::uint64_t bytes, const std::function<void()>& tick);

 private:
  static constexpr double kTick_s = 0.1;
  const double bytes_per_s_;
  Stopwatch watch_;
  double due_s_ = 0;  // on the watch
};

}  // namespace muster::engine
