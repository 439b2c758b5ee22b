#include "save/save_heartbeat.hpp"

#include <algorithm>

namespace muster::save {

void SaveHeartbeat::post(const SaveJob& job, SavePhase phase, double interval_s) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  longest_silence_s_ = job.number == save_ ? std::max(longest_silence_s_, since_post_.seconds()) : 0;
  save_ = job.number;
  since_post_ = Stopwatch();
  store::Progress progress{.save = job.number, .phase = phase};
  if (job.write) {
    progress.bytes = job.write->written_bytes();
    progress.total_bytes = job.write->total_bytes();
  }
  heartbeats_.post_sometimes(lane_, progress, interval_s);
}

void SaveHeartbeat::end(const SaveJob& job, bool notify) {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (notify) heartbeats_.post(lane_, {.save = job.number, .phase = SavePhase::gave_up});
}

double SaveHeartbeat::longest_silence_s() const {
  const std::lock_guard lock(mutex_);
  return std::max(longest_silence_s_, since_post_.seconds());
}

std::string SaveHeartbeat::missing(const SaveJob& job, SavePhase phase) const {
  return heartbeats_.missing(lane_, {.save = job.number, .phase = phase});
}

}  // namespace muster::save
