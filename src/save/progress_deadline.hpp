#pragma once
// How long a rank waits for the others of a background save: as long as something is heard of them.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "store/heartbeats.hpp"

namespace muster::save {

// How often to post for others to hear.
inline double post_interval_s(double timeout_s) { return std::min(1.0, timeout_s / 4); }

// Rank 0 waits for all, and listens to what any of them posts on the board; the others wait for rank 0, which posts as
// long as it waits itself. Whoever gives up says so there, and those that listen to it do not wait any longer.
class ProgressDeadline {
 public:
  ProgressDeadline(const store::Heartbeats& board, int rank, double timeout_s)
      : heartbeats_(board), rank_(rank), timeout_s_(timeout_s) {}

  // Whether nothing was heard for the timeout, or who is waited for gave up. Time in which nobody asks does not count.
  // To be asked often.
  bool is_over();
  // Then: for a message.
  [[nodiscard]] std::string why() const;

 private:
  void listen();

  const store::Heartbeats& heartbeats_;
  const int rank_;
  const double timeout_s_;
  Stopwatch heard_;
  Stopwatch looked_;
  Stopwatch asked_;
  std::vector<std::int64_t> posted_ns_;  // of those who are listened to, by their clocks
  std::optional<int> who_gave_up_;
};

}  // namespace muster::save
