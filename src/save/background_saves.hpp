#pragma once
// The saves in flight of one Checkpointer, and the threads that carry them on.
//
// One thread copies states, if that overlaps with the program's own work. One thread takes the saves in order: it
// hashes, writes and syncs this rank's part (rank_write), then commits the save with the other ranks (commit) over a
// communicator of their own. If MPI does not allow that thread to call it, the program's calls of poll() commit
// instead.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/core_use.hpp"
#include "engine/staging_pool.hpp"
#include "mpi/team.hpp"
#include "save/commit.hpp"
#include "save/save_failures.hpp"
#include "save/save_heartbeat.hpp"
#include "save/save_job.hpp"
#include "store/heartbeats.hpp"

namespace muster::save {

class BackgroundSaves {
 public:
  // Collective. commits_in_background: MPI_THREAD_MULTIPLE, on all ranks alike. Borrows all but the pool.
  BackgroundSaves(const mpi::Team& team, store::Directory& directory, store::Heartbeats& heartbeats,
                  std::shared_ptr<engine::StagingPool> pool, bool commits_in_background);
  ~BackgroundSaves();
  // Waits for the saves in flight; one that cannot end is given up with a word on the log, and one that failed unseen
  // gets one too. After it nothing that was borrowed is used.
  void shut_down();
  BackgroundSaves(const BackgroundSaves&) = delete;
  BackgroundSaves& operator=(const BackgroundSaves&) = delete;

  // Takes over a save that is open. Copies its state before it returns, or leaves that to a thread.
  void start(const std::shared_ptr<SaveJob>& save);

  // Before the program ends: waits for all, and tells failures that nobody has seen on the log.
  void complete_at_exit();

  // What follows is local and, but for poll(), waits: at most for the deadline of the team's communicator.
  // Goes on with what the program's thread has to do. False where nothing is in flight.
  bool poll();
  void wait_for(const SaveJob& save);
  // Until nothing of the save's state is copied any more; copies what is left of it. Where the pool is exhausted it
  // waits, without a deadline of its own, for saves before this one.
  void stage(const SaveJob& save);
  // Until fewer than so many saves are in flight, and none of this tag.
  void wait_until_fewer_than(std::size_t saves, const std::string& tag);
  void drain() { wait_until_fewer_than(1, {}); }
  [[nodiscard]] std::size_t in_flight() const;

  // The number of the first save whose failure no collective call has thrown yet; the largest number where none.
  [[nodiscard]] std::uint64_t first_failure() const;
  // That the program has been told of this one's failure on this rank.
  void note_seen(std::uint64_t number);
  // Waits for this save where it is in flight still, then throws its failure.
  [[noreturn]] void throw_failure(std::uint64_t number);
  // Throws what left the ranks out of step, a deadline that passed in the background; where they are not, nothing.
  void throw_if_lost() const;

 private:
  struct Writing {
    std::uint64_t save = 0;
    std::uint64_t signs_of_life = 0;
    friend bool operator==(const Writing&, const Writing&) = default;
  };

  bool writes_beside(const SaveJob& save);
  void work();
  void stage_in_background();
  void commit(SaveJob& save);
  void finish(const std::shared_ptr<SaveJob>& save, std::exception_ptr failure);
  void begin_commit(SaveJob& save);
  bool advance_commit();
  [[nodiscard]] std::optional<Writing> writing() const;
  // notify: whether the others hear at once that they need not wait.
  void lose(const SaveJob& save, const std::exception_ptr& failure, bool notify = true);
  [[nodiscard]] std::exception_ptr lost_failure() const;
  void stop_threads();
  void tell_unseen_failures();
  void end_the_lost();
  [[nodiscard]] std::deque<std::shared_ptr<SaveJob>> all_in_flight() const;

  std::optional<mpi::Comm> comm_;
  const mpi::Team team_;  // over that communicator
  store::Directory& directory_;
  const store::Heartbeats& heartbeats_;
  SaveHeartbeat heartbeat_;
  const bool commits_in_background_;
  const std::shared_ptr<engine::StagingPool> pool_;
  const double memcpy_bytes_per_s_;
  CoreUse core_use_;
  std::optional<std::uint64_t> first_save_;  // with overlap
  std::optional<Commit> commit_;             // of the oldest save, where poll() commits

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<SaveJob>> in_flight_;  // oldest first
  std::deque<std::shared_ptr<SaveJob>> to_stage_;
  std::deque<std::shared_ptr<SaveJob>> to_write_;
  std::deque<std::shared_ptr<SaveJob>> to_commit_;  // where poll() does
  SaveFailures failures_;
  std::exception_ptr lost_;
  bool stopping_ = false;
  bool shut_down_ = false;
  std::thread writer_;
  std::thread stager_;
};

}  // namespace muster::save
