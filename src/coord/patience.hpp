#pragma once
// How long a rank waits for the others of a background save: as long as something is heard of them.

#include <algorithm>

#include "base/clock.hpp"
#include "store/progress_board.hpp"

namespace muster::coord {

// Rank 0 waits for all, and listens to what any of them posts on the board; the others wait for rank 0, which posts as
// long as it waits itself.
class Patience {
 public:
  Patience(const store::ProgressBoard& board, int rank, double timeout_s)
      : board_(board), rank_(rank), timeout_s_(timeout_s) {}

  // Whether nothing was heard for the timeout. Time in which nobody asks does not count. To be asked often.
  bool is_over();
  // Since something was last heard.
  [[nodiscard]] double waited_s() const { return heard_.seconds(); }
  // How often to post for others to hear.
  [[nodiscard]] double post_interval_s() const { return std::min(1.0, timeout_s_ / 4); }

 private:
  const store::ProgressBoard& board_;
  const int rank_;
  const double timeout_s_;
  Stopwatch heard_;
  Stopwatch looked_;
  Stopwatch asked_;
  std::uint64_t posts_ = 0;
};

}  // namespace muster::coord
