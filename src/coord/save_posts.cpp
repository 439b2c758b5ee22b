#include "coord/save_posts.hpp"

namespace muster::coord {

namespace {

constexpr auto kLane = store::ProgressLane::background;

}  // namespace

void SavePosts::post(const AsyncSave& save, store::ProgressPhase phase, double interval_s) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  board_.post_sometimes(kLane,
                        {.save = save.job->number,
                         .phase = phase,
                         .bytes = save.write->written_bytes(),
                         .total_bytes = save.write->total_bytes()},
                        interval_s);
}

void SavePosts::end(const AsyncSave& save, bool farewell) {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (farewell) board_.post(kLane, {.save = save.job->number, .phase = store::ProgressPhase::gave_up});
}

}  // namespace muster::coord
