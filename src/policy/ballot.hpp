#pragma once
// What each rank brings to a call of should_save, and what comes of all of them: the larger of each value.

#include <array>
#include <cstdint>
#include <limits>

namespace muster::policy {

struct Ballot {
  static constexpr std::int64_t kNothing = std::numeric_limits<std::int64_t>::min();

  std::int64_t step = kNothing;
  std::int64_t minus_step = kNothing;
  // A signal and a rank that it came to; see signal_at.
  std::int64_t stop_signal = kNothing;
  std::int64_t save_signal = kNothing;
  // Of rank 0's clock: a SaveReason, and its numbers in milliseconds.
  std::int64_t clock_reason = kNothing;
  std::int64_t clock_first_ms = kNothing;
  std::int64_t clock_second_ms = kNothing;
};

constexpr int kBallotValues = sizeof(Ballot) / sizeof(std::int64_t);

// The larger of two is the one of the larger signal.
constexpr std::int64_t signal_at(int number, int rank) { return (std::int64_t{number} << 32) | rank; }
constexpr int signal_of(std::int64_t signal) { return static_cast<int>(signal >> 32); }
constexpr int rank_of(std::int64_t signal) { return static_cast<int>(signal & 0xffffffff); }

}  // namespace muster::policy
