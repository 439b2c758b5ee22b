#include "engine/pace.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace muster::engine {

void Pace::before(std::uint64_t bytes, const std::function<void()>& tick) {
  if (bytes_per_s_ <= 0) return;
  due_s_ = std::max(due_s_, watch_.seconds());
  for (;;) {
    const double left_s = due_s_ - watch_.seconds();
    if (left_s <= 0) break;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left_s, kTick_s)));
    tick();
  }
  due_s_ += static_cast<double>(bytes) / bytes_per_s_;
}

}  // namespace muster::engine
