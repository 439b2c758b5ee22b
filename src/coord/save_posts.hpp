#pragma once
// What a rank lets the others hear of its background saves.

#include <mutex>

#include "coord/async_save.hpp"
#include "store/progress_board.hpp"

namespace muster::coord {

// Thread-safe.
class SavePosts {
 public:
  explicit SavePosts(store::ProgressBoard& board) : board_(board) {}

  // How far a save is on this rank; at most once in so many seconds.
  void post(const AsyncSave& save, store::ProgressPhase phase, double interval_s = 0);
  // Says nothing any more, and that is the last word where `farewell`: that this rank gave this save up.
  void end(const AsyncSave& save, bool farewell);

 private:
  store::ProgressBoard& board_;
  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace muster::coord
