#pragma once
// Something that saves or loads and is measured round after round.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace muster::bench {

// One measurement, the slowest or fullest rank's where ranks differ. `seconds` is the same on all ranks, the rest is
// known on rank 0.
struct Sample {
  double seconds = 0;
  std::map<std::string, double> phase_s = {};
  double first_byte_s = 0;       // 0: not known
  std::uint64_t peak_bytes = 0;  // memory above what was there before; 0: not known
  nlohmann::json details = nlohmann::json::object();
};

class Contender {
 public:
  Contender() = default;
  virtual ~Contender() = default;
  Contender(const Contender&) = delete;
  Contender& operator=(const Contender&) = delete;

  // What it is called on the command line and in the results; the same on all ranks.
  [[nodiscard]] virtual std::string name() const = 0;
  // Collective. Does and times the work once; `round` counts from 0 over warm-up and measured rounds.
  virtual Sample run_round(int round) = 0;
  // Collective, not timed. Removes what the round left on the disk.
  virtual void clean_up() = 0;
};

}  // namespace muster::bench
