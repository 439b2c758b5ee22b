#pragma once
// Holds writes back to a rate.

#include <cstdint>
#include <functional>

#include "base/clock.hpp"

namespace muster::engine {

class RateLimit {
 public:
  // What could not be used in time may be made up for this long after, for threads that wake up late; the rest of it is
  // lost: after a pause there is no burst.
  static constexpr double kSlackS = 0.02;

  // 0: as fast as it goes.
  explicit RateLimit(double bytes_per_s) : bytes_per_s_(bytes_per_s) {}
  // When `bytes` more may go out, asked at now_s, both in seconds from any one moment on; now_s never decreases.
  double claim(std::uint64_t bytes, double now_s);
  // Sleeps until `bytes` more may go out. Meanwhile `tick` is called now and then; what it throws ends the wait.
  void before(std::uint64_t bytes, const std::function<void()>& tick);

 private:
  static constexpr double kTickS = 0.1;
  const double bytes_per_s_;
  Stopwatch watch_;
  double due_s_ = 0;
};

}  // namespace muster::engine
