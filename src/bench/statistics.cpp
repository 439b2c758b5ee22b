#include "bench/statistics.hpp"

#include <algorithm>
#include <muster/error.hpp>

namespace muster::bench {

double median(std::vector<double> values) {
  if (values.empty()) throw Error(ErrorKind::internal, "the median of nothing was asked for");
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Spread spread_of(const std::vector<double>& values) {
  const double middle = median(values);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {middle, *least, *most};
}

double relative_speed(double limit_before_s, double limit_after_s, double measured_s) {
  return (limit_before_s + limit_after_s) / 2 / measured_s;
}

}  // namespace muster::bench
