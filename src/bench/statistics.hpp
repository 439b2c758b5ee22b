#pragma once
// What is said of repeated measurements. Pure.

#include <vector>

namespace muster::bench {

// Of a list that is not empty; the mean of the middle two where their number is even.
double median(std::vector<double> values);

struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

// Of a list that is not empty.
Spread spread_of(const std::vector<double>& values);

// Speed relative to the limit measured just before and just after: 1 is as fast, 0.5 takes twice as long.
double relative_speed(double limit_before_s, double limit_after_s, double measured_s);

}  // namespace muster::bench
