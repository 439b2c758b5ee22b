#include "engine/rate_limit.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace muster::engine {

double RateLimit::claim(std::uint64_t bytes, double now_s) {
  if (bytes_per_s_ <= 0) return now_s;
  const double at_s = std::max(due_s_, now_s - kSlackS);
  due_s_ = at_s + static_cast<double>(bytes) / bytes_per_s_;
  return at_s;
}

void RateLimit::before(std::uint64_t bytes, const std::function<void()>& tick) {
  const double at_s = claim(bytes, watch_.seconds());
  for (;;) {
    const double left_s = at_s - watch_.seconds();
    if (left_s <= 0) return;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left_s, kTickS)));
    tick();
  }
}

}  // namespace muster::engine
