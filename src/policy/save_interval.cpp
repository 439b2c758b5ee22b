#include <algorithm>
#include <cmath>
#include <muster/policy.hpp>

namespace muster {

double save_interval_s(double save_s, double mean_time_between_failures_s, double max_save_share) {
  const double cost = save_s;
  const double mean = mean_time_between_failures_s;
  double interval = mean;
  if (cost < 2 * mean) {
    const double ratio = cost / (2 * mean);
    interval = std::sqrt(2 * cost * mean) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - cost;
  }
  // Daly counts from the end of a save to the start of the next; we count from start to start.
  return std::max(interval + cost, cost / max_save_share);
}

}  // namespace muster
