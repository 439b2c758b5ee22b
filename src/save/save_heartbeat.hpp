#pragma once
// What a rank lets the others hear of its background saves.

#include <mutex>

#include "save/async_save.hpp"
#include "store/heartbeats.hpp"

namespace muster::save {

// Thread-safe.
class SaveHeartbeat {
 public:
  explicit SaveHeartbeat(store::Heartbeats& board) : heartbeats_(board) {}

  // How far a save is on this rank; at most once in so many seconds.
  void post(const AsyncSave& save, store::SavePhase phase, double interval_s = 0);
  // Says nothing any more, and that is the last word where `notify`: that this rank gave this save up.
  void end(const AsyncSave& save, bool notify);

 private:
  store::Heartbeats& heartbeats_;
  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace muster::save
