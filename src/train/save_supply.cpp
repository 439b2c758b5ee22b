#include "train/save_supply.hpp"

#include <algorithm>
#include <cmath>

namespace muster::train {

void SaveSupply::note_save(double begun_s, double ended_s) {
  constexpr double kLeastS = 1e-6;
  const double first_s = each_s_ ? std::max(begun_s, last_ended_s_) : begun_s;
  each_s_ = std::max(ended_s - first_s, kLeastS);
  last_ended_s_ = ended_s;
}

std::optional<int> SaveSupply::missing(SavePoint here, double now_s, int in_flight) {
  if (last_visit_) until_next_s_.at(static_cast<std::size_t>(last_visit_->point)) = now_s - last_visit_->at_s;
  last_visit_ = {here, now_s};
  const auto until_next_s = until_next_s_.at(static_cast<std::size_t>(here));
  if (!until_next_s || !each_s_) return std::nullopt;
  // The first one has been under way since the one before it ended.
  const double done_s = in_flight > 0 ? std::min(now_s - last_ended_s_, *each_s_) : 0;
  const double lasting_s = in_flight * *each_s_ - done_s;
  constexpr double kMost = 1000;
  const double more = std::min(std::ceil(std::max(*until_next_s - lasting_s, 0.0) / *each_s_), kMost);
  // One to spare where the way is long and no update is next: there it costs nothing.
  return static_cast<int>(more) + (here == SavePoint::before_gradients ? 1 : 0);
}

}  // namespace muster::train
