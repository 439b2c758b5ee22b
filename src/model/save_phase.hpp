#pragma once
// The phases of a save. This is the one table of them: reports, heartbeats, /telemetry and the history take their names
// and their order from here.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace muster {

enum class SavePhase : std::uint8_t {
  agree,
  plan,
  open,
  stage,  // copying into staging memory, of a background save
  write,
  sync,
  publish,  // its own part is durable; waits for the outcome
  // Where a rank is afterwards.
  done,
  gave_up,
};

constexpr std::string_view name(SavePhase phase) {
  constexpr std::array<std::string_view, 9> kNames{"agree", "plan",    "open", "stage",  "write",
                                                   "sync",  "publish", "done", "gave up"};
  const auto index = static_cast<std::size_t>(phase);  // of what was read from a file: may be any number
  return index < kNames.size() ? kNames[index] : "unknown";
}

// The phases whose seconds each rank reports, in the order in which people read them.
inline constexpr std::array kTimedPhases{SavePhase::agree, SavePhase::plan,  SavePhase::open,
                                         SavePhase::stage, SavePhase::write, SavePhase::sync};

static_assert(static_cast<std::size_t>(kTimedPhases.back()) + 1 == kTimedPhases.size(),
              "PhaseSeconds is indexed by the timed phases, which come first");

// How many seconds each of the timed phases took on one rank.
class PhaseSeconds {
 public:
  double& operator[](SavePhase phase) { return seconds_.at(static_cast<std::size_t>(phase)); }
  double operator[](SavePhase phase) const { return seconds_.at(static_cast<std::size_t>(phase)); }

 private:
  std::array<double, kTimedPhases.size()> seconds_{};
};

}  // namespace muster
