#include "train/save_supply.hpp"

#include <algorithm>
#include <cmath>

namespace muster::train {

std::optional<int> SaveSupply::wanted(SavePoint here, double now_s) {
  if (last_) until_next_s_.at(static_cast<std::size_t>(last_->point)) = now_s - last_->at_s;
  last_ = {here, now_s};
  const auto until_next_s = until_next_s_.at(static_cast<std::size_t>(here));
  if (!until_next_s || !write_s_) return std::nullopt;
  constexpr double kMost = 1000;
  constexpr double kLeastS = 1e-6;
  const double lasting = std::min(std::ceil(*until_next_s / std::max(*write_s_, kLeastS)), kMost);
  // The first one of those in flight may be half done. What is begun right before the update is copied, though.
  return static_cast<int>(lasting) + (here == SavePoint::before_update ? 0 : 1);
}

}  // namespace muster::train
