#include "train/save_supply.hpp"

#include <algorithm>
#include <cmath>

namespace muster::train {

void SaveSupply::note_save(double begun_s, double ended_s) {
  constexpr double kLeastS = 1e-6;
  each_s_ = std::max(ended_s - std::max(begun_s, last_ended_s_), kLeastS);
  last_ended_s_ = ended_s;
}

std::optional<int> SaveSupply::missing(SavePoint here, double now_s, const InFlight& in_flight) {
  if (last_visit_) until_next_s_.at(static_cast<std::size_t>(last_visit_->point)) = now_s - last_visit_->at_s;
  last_visit_ = {here, now_s};
  const auto until_next_s = until_next_s_.at(static_cast<std::size_t>(here));
  if (!until_next_s || !each_s_) return std::nullopt;
  const double under_way_s = now_s - std::max(last_ended_s_, in_flight.first_begun_s);
  const double done_s = in_flight.saves > 0 ? std::min(under_way_s, *each_s_) : 0;
  const double lasting_s = in_flight.saves * *each_s_ - done_s;
  // To spare where the way is long and no update is next.
  const double spare_s = here == SavePoint::before_gradients ? *each_s_ : 0;
  constexpr double kMost = 1000;
  return static_cast<int>(std::min(std::ceil(std::max(*until_next_s + spare_s - lasting_s, 0.0) / *each_s_), kMost));
}

}  // namespace muster::train
