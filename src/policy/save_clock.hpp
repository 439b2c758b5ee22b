#pragma once
// When time says that a save is due: by the minute, by the mean time between failures, before the job's end. Rank 0's
// is the one that counts. It never looks at a clock: all times are passed in, in seconds from any one point.

#include <cstdint>
#include <deque>
#include <muster/policy.hpp>
#include <optional>

namespace muster::policy {

class SaveClock {
 public:
  struct Settings {
    double every_s = 0;                       // 0: not by time
    double mean_time_between_failures_s = 0;  // 0: not known
    double max_save_share = 0.05;
    std::optional<double> end_s = std::nullopt;  // of the job
    double end_margin_s = 30;
    double first_save_s = 60;
    int saves_in_flight = 0;  // at most, when one is called for, which waits for them
  };
  SaveClock(const Settings& settings, double now_s);

  // What is due and the numbers behind it, in seconds.
  struct Due {
    SaveReason reason = SaveReason::none;
    double first_s = 0;   // minutes, failures: since the last save was called for; job_end: left
    double second_s = 0;  // minutes, failures: the interval; job_end: what the longest of the last saves took
  };

  // A call of should_save: the time between two is how late the next answer may be.
  void note_call(double now_s);
  // All ranks were told to save.
  void note_decision(double now_s);
  // A save that has ended now.
  void note_save(double now_s, double save_s, double blocked_s);
  [[nodiscard]] Due due(double now_s) const;
  [[nodiscard]] std::optional<double> left_s(double now_s) const;

 private:
  struct Cost {
    double save_s = 0;
    double blocked_s = 0;
  };
  [[nodiscard]] double longest_save_s() const;
  [[nodiscard]] double interval_s() const;

  Settings settings_;
  std::deque<Cost> costs_;     // of the last saves
  std::deque<double> gaps_s_;  // between the last calls
  std::optional<double> last_call_s_;
  double last_decision_s_;
};

}  // namespace muster::policy
