#include "save/save_heartbeat.hpp"

namespace muster::save {

namespace {

constexpr auto kLane = store::HeartbeatLane::background;

}  // namespace

void SaveHeartbeat::post(const AsyncSave& save, store::SavePhase phase, double interval_s) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  heartbeats_.post_sometimes(kLane,
                             {.save = save.job->number,
                              .phase = phase,
                              .bytes = save.write->written_bytes(),
                              .total_bytes = save.write->total_bytes()},
                             interval_s);
}

void SaveHeartbeat::end(const AsyncSave& save, bool notify) {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (notify) heartbeats_.post(kLane, {.save = save.job->number, .phase = store::SavePhase::gave_up});
}

}  // namespace muster::save
