#pragma once
// A save that goes on in the background after the call that began it.

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>

#include "engine/staged_write.hpp"
#include "save/rank_report.hpp"
#include "save/save_job.hpp"

namespace muster::save {

// Handed from the thread that began it to the background thread; what both look at is behind the mutex.
class AsyncSave {
 public:
  AsyncSave(std::unique_ptr<SaveJob> save_job, State save_state)
      : job(std::move(save_job)), state(std::move(save_state)) {}

  const std::unique_ptr<SaveJob> job;
  State state;  // until staged
  std::unique_ptr<engine::StagedWrite> write;
  RankReport report;                    // of the background thread
  Stopwatch called;                     // since the call that began it
  SaveReport begun;                     // what the call that began it reports
  std::atomic<bool> is_written{false};  // or has failed, on this rank
  std::atomic<double> blocked_s{0};     // how long the program waited in that call, and for staging

  void set_staged() {
    {
      const std::lock_guard lock(mutex_);
      staged_ = true;
    }
    changed_.notify_all();
  }
  // failure: null where it was published.
  void set_ended(std::exception_ptr failure) {
    {
      const std::lock_guard lock(mutex_);
      staged_ = true;
      ended_ = true;
      failure_ = std::move(failure);
    }
    changed_.notify_all();
  }
  [[nodiscard]] bool ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  // After ended().
  [[nodiscard]] std::exception_ptr failure() const { return failure_; }

  [[nodiscard]] bool is_staged() const {
    const std::lock_guard lock(mutex_);
    return staged_;
  }
  void wait_staged() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return staged_; });
  }
  // False where it did not end in time.
  [[nodiscard]] bool wait_ended(double timeout_s) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return ended_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool staged_ = false;
  bool ended_ = false;
  std::exception_ptr failure_;
};

}  // namespace muster::save
