#pragma once
// How the ranks of a background save come to an end together, without any of them waiting inside a call:
//
//   1. each rank tells rank 0 that its bytes are durable, or what failed     (one gather)
//   2. rank 0: all well: seals and publishes; else: removes the part
//   3. rank 0 tells all how it went                                           (one broadcast)
//
// A rank knows that a save is published, or failed, when it has rank 0's word; all then know the same.

#include <optional>
#include <vector>

#include "mpi/started.hpp"
#include "mpi/team.hpp"
#include "save/async_save.hpp"
#include "save/progress_deadline.hpp"
#include "save/save_heartbeat.hpp"

namespace muster::save {

class Commit {
 public:
  // Begins it: every rank makes its own for the same saves in the same order. Borrows all.
  Commit(const mpi::Team& team, store::Directory& directory, const store::Heartbeats& board, SaveHeartbeat& posts,
         AsyncSave& save);

  // Goes on as far as it goes without waiting. True when this rank knows the outcome, and the report of the save its
  // sequence. Throws Error{timeout} where ProgressDeadline is over.
  bool step();
  // Then: null, or the CollectiveError that is the same on all ranks.
  [[nodiscard]] std::exception_ptr failure() const;

 private:
  bool go_on();
  [[noreturn]] void give_up() const;
  SaveOutcome end(const std::vector<Bytes>& told);

  const mpi::Team& team_;
  store::Directory& directory_;
  const store::Heartbeats& heartbeats_;
  SaveHeartbeat& heartbeat_;
  AsyncSave& save_;
  ProgressDeadline deadline_;
  std::vector<std::size_t> extents_;  // of each rank
  std::optional<mpi::StartedGather> gather_;
  std::optional<mpi::StartedBroadcast> outcome_;
};

}  // namespace muster::save
