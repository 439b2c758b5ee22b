#pragma once
// What the program prints while it trains. Local: rank 0 prints, the others have one that is silent.

#include <cstdint>
#include <string>

#include "base/clock.hpp"

namespace muster::train {

class Progress {
 public:
  struct Settings {
    bool speaks = false;  // false: nothing is printed but warnings
    bool is_rank_0 = false;
    std::int64_t steps = 0;
    std::int64_t log_every = 1;
    std::int64_t tokens_per_step = 0;
  };

  explicit Progress(const Settings& settings);

  // After a step: on a terminal one line that is written over, otherwise a line every log_every steps. `ends_line`:
  // something else is printed next, so the line that stays is of this step.
  void step(std::int64_t step, double loss, bool ends_line);
  void say(const std::string& line);
  void warn(const std::string& line);
  // Leaves out of tokens/s the time since the last step.
  void skip_time();

 private:
  void clear_line();

  Settings settings_;
  bool on_terminal_;
  bool line_is_open_ = false;
  Stopwatch since_start_;
  double last_shown_s_ = 0;
  double counted_s_ = 0;
  double last_step_s_ = 0;
  std::int64_t counted_steps_ = 0;
};

// Whether standard output is a terminal that a person sees. mpirun gives its processes a terminal of its own, so
// under a launcher that of the launcher counts.
bool output_is_terminal();

}  // namespace muster::train
