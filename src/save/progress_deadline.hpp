#pragma once
// How long a rank waits for the others of a save: as long as it hears of them.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "store/heartbeats.hpp"

namespace muster::save {

// How often to post for others to hear.
inline double post_interval_s(double timeout_s) { return std::min(1.0, timeout_s / 4); }

// Passes when nothing was heard for the timeout, or when a rank that is listened to gave up. Rank 0 listens to all
// others; they listen to rank 0, which posts as long as it waits itself.
class ProgressDeadline {
 public:
  // Borrows the heartbeats.
  ProgressDeadline(const store::Heartbeats& heartbeats, store::HeartbeatLane lane, int rank, double timeout_s)
      : heartbeats_(heartbeats), lane_(lane), rank_(rank), timeout_s_(timeout_s) {}

  // Time in which nobody asks does not count. To be asked often.
  bool is_over();
  // Then: for a message.
  [[nodiscard]] std::string why() const;

 private:
  void listen();

  const store::Heartbeats& heartbeats_;
  const store::HeartbeatLane lane_;
  const int rank_;
  const double timeout_s_;
  Stopwatch heard_;
  Stopwatch looked_;
  Stopwatch asked_;
  std::vector<std::int64_t> posted_ns_;  // of those who are listened to, by their clocks
  std::optional<int> who_gave_up_;
};

}  // namespace muster::save
