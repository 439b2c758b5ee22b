#pragma once
// The raw limit that a thing is compared with: the same bytes, the same ranks, and nothing but the device.

#include <string>
#include <vector>

namespace muster::bench {

class Limit {
 public:
  Limit() = default;
  virtual ~Limit() = default;
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

  // The ways in which the limit can be reached; the same on all ranks.
  [[nodiscard]] virtual const std::vector<std::string>& kinds() const = 0;
  // Collective. Seconds of one way, the slowest rank's, on every rank. Leaves nothing behind.
  virtual double measure(std::size_t kind) = 0;
};

}  // namespace muster::bench
