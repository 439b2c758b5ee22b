#pragma once
// How the ranks of a save end it together, without any of them waiting inside a call:
//
//   1. each rank reports to rank 0 that its bytes are durable, or what failed   (one gather)
//   2. rank 0: if all is well, seals the file and publishes it; else removes the part
//   3. rank 0 sends the outcome to all                                          (one broadcast)
//
// A rank that has the outcome knows that the save is published, or what failed; all ranks then know the same.

#include <optional>
#include <vector>

#include "mpi/started.hpp"
#include "mpi/team.hpp"
#include "save/progress_deadline.hpp"
#include "save/rank_report.hpp"
#include "save/save_heartbeat.hpp"
#include "save/save_job.hpp"

namespace muster::save {

class Commit {
 public:
  // Begins it: every rank makes its own for the same saves in the same order. Borrows all.
  Commit(const mpi::Team& team, store::Directory& directory, const store::Heartbeats& heartbeats,
         store::HeartbeatLane lane, SaveHeartbeat& heartbeat, SaveJob& job);

  // Goes on as far as it goes without waiting. True when this rank has the outcome, and the report of the save its
  // sequence. Throws Error{timeout} when the ProgressDeadline is over.
  bool step();
  // The same until it is true. For the thread of the program.
  void wait();
  // Then: null, or the CollectiveError that is the same on all ranks.
  [[nodiscard]] std::exception_ptr failure() const;

 private:
  bool advance();
  [[noreturn]] void give_up() const;
  void throw_if_others_gave_up() const;
  SaveOutcome end(const std::vector<Bytes>& packed);

  const mpi::Team& team_;
  store::Directory& directory_;
  SaveHeartbeat& heartbeat_;
  SaveJob& job_;
  ProgressDeadline deadline_;
  std::vector<std::size_t> extents_;  // of each rank
  std::optional<mpi::StartedGather> gather_;
  std::optional<mpi::StartedBroadcast> outcome_;
};

}  // namespace muster::save
