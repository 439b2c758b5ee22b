#pragma once
// What a rank lets the others hear of its background saves.

#include <cstdint>
#include <mutex>
#include <optional>

#include "coord/async_save.hpp"
#include "store/progress_board.hpp"

namespace muster::coord {

// Thread-safe.
class SavePosts {
 public:
  explicit SavePosts(store::ProgressBoard& board) : board_(board) {}

  // How far a save is on this rank; at most once in so many seconds. Of a save behind one that is not done nothing is
  // heard: the others take what they hear for how far this rank has come with all of them.
  void post(const AsyncSave& save, store::ProgressPhase phase, double interval_s = 0);
  // Says nothing any more, and that is the last word where `farewell`: that this rank gave this save up.
  void end(const AsyncSave& save, bool farewell);

 private:
  store::ProgressBoard& board_;
  std::mutex mutex_;
  std::optional<std::uint64_t> first_;  // of those that are not done, the number of the one that is told of
  bool ended_ = false;
};

}  // namespace muster::coord
