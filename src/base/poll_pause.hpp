#pragma once
// The pauses of a loop that asks again and again whether something has happened. Each waking takes processor time from
// what is waited for, so the pauses grow with the wait, and prolong it by a sixteenth at most.

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.hpp"

namespace muster {

class PollPause {
 public:
  static constexpr double kShortestS = 50e-6;
  static constexpr double kLongestS = 2e-3;

  // The next pause of a loop that has waited so long.
  [[nodiscard]] static constexpr double after_s(double waited_s) {
    return std::clamp(waited_s / 16, kShortestS, kLongestS);
  }

  void sleep() const { std::this_thread::sleep_for(std::chrono::duration<double>(after_s(waited_s()))); }
  // Since this object was made.
  [[nodiscard]] double waited_s() const { return since_.seconds(); }

 private:
  Stopwatch since_;
};

}  // namespace muster
