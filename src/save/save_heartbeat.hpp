#pragma once
// The signs of life that a rank gives of its saves, for ranks that wait for it.

#include <mutex>
#include <string>

#include "base/clock.hpp"
#include "save/save_job.hpp"
#include "store/heartbeats.hpp"

namespace muster::save {

// In the lane of saves in the foreground, or of those in the background: they go on side by side. Thread-safe.
class SaveHeartbeat {
 public:
  SaveHeartbeat(store::Heartbeats& heartbeats, store::HeartbeatLane lane) : heartbeats_(heartbeats), lane_(lane) {}

  // How far a save is on this rank; at most once in so many seconds.
  void post(const SaveJob& job, SavePhase phase, double interval_s = 0);
  // Nothing is posted from now on. notify: the others see that this rank gave this save up, and need not wait for it.
  void end(const SaveJob& job, bool notify);
  // Between two posts for the save that was posted for last, and since the last one.
  [[nodiscard]] double longest_silence_s() const;
  // The ranks that were not seen as far as this phase of the save, for a message; empty if all were.
  [[nodiscard]] std::string missing(const SaveJob& job, SavePhase phase) const;

 private:
  store::Heartbeats& heartbeats_;
  const store::HeartbeatLane lane_;
  mutable std::mutex mutex_;
  bool ended_ = false;
  std::uint64_t save_ = 0;
  Stopwatch since_post_;
  double longest_silence_s_ = 0;
};

}  // namespace muster::save
