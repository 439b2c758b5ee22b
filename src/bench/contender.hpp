#pragma once
// Something that saves or loads and is measured round after round.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace muster::bench {

class Contender {
 public:
  Contender() = default;
  virtual ~Contender() = default;
  Contender(const Contender&) = delete;
  Contender& operator=(const Contender&) = delete;

  // What it is called on the command line and in the results; the same on all ranks.
  [[nodiscard]] virtual std::string name() const = 0;
  // Collective. Does the work once; `round` counts from 0 over warm-up and measured rounds. Returns what this rank
  // measured, of which the largest over the ranks counts: "seconds", and if they are known "phase_s" (by phase),
  // "first_byte_s", "peak_bytes" (memory above what was there before) and more.
  virtual nlohmann::json run_round(int round) = 0;
  // Collective, not timed. Removes what the round left on the disk.
  virtual void clean_up() = 0;
};

using Contenders = std::vector<std::unique_ptr<Contender>>;

}  // namespace muster::bench
