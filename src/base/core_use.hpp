#pragma once
// How busy this process keeps its share of the node's cores.

#include "base/clock.hpp"

namespace muster {

class CoreUse {
 public:
  // processes: that share the node, this one included.
  explicit CoreUse(int processes);

  // Cores of this process's share that it left idle on average since the last call, or since the one before where that
  // is too short a time to tell; its whole share at first.
  double idle_cores();

 private:
  const double share_;
  double idle_;
  Stopwatch since_;
  double cpu_s_;  // at the last look
};

}  // namespace muster
