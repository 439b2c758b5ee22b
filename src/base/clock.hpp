#pragma once
// Time: durations for telemetry, UTC for people.

#include <chrono>
#include <cstdint>
#include <string>

namespace muster {

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  // Seconds since the start or the last lap.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - lap_).count();
    lap_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point lap_ = start_;
};

// Nanoseconds since 1970, by this node's clock.
inline std::int64_t unix_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// "2026-11-22T20:15:03Z"
std::string utc_now();
// "2026-11-22T20:15:03.214Z"
std::string utc_now_ms();

}  // namespace muster
