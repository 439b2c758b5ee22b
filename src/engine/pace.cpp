#include "engine/pace.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

namespace muster::engine {

void Pace::before(std::uint64_t bytes) {
  if (bytes_per_s_ <= 0) return;
  const double now_s = watch_.seconds();
  due_s_ = std::max(due_s_, now_s);
  if (due_s_ > now_s) std::this_thread::sleep_for(std::chrono::duration<double>(due_s_ - now_s));
  due_s_ += static_cast<double>(bytes) / bytes_per_s_;
}

}  // namespace muster::engine
