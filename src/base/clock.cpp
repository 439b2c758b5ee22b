#include "base/clock.hpp"

#include <fmt/chrono.h>

#include <ctime>

namespace muster {

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

std::string utc_now_ms() {
  constexpr std::int64_t kNsPerMs = 1'000'000;
  constexpr std::int64_t kMsPerS = 1000;
  const auto now_ms = unix_ns() / kNsPerMs;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03d}Z", fmt::gmtime(static_cast<std::time_t>(now_ms / kMsPerS)),
                     now_ms % kMsPerS);
}

}  // namespace muster
