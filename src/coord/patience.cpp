#include "coord/patience.hpp"

namespace muster::coord {

bool Patience::is_over() {
  const bool was_away = asked_.seconds() > timeout_s_ / 2;
  asked_ = Stopwatch();
  if (was_away) heard_ = Stopwatch();
  if (looked_.seconds() >= timeout_s_ / 10) {
    looked_ = Stopwatch();
    constexpr auto kLane = store::ProgressLane::background;
    const auto posts = rank_ == 0 ? board_.posts_of_others(kLane) : board_.posts_of(kLane, 0);
    if (posts != posts_) heard_ = Stopwatch();
    posts_ = posts;
  }
  return heard_.seconds() >= timeout_s_;
}

}  // namespace muster::coord
