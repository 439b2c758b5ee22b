#pragma once
// A vote of all ranks that one call starts and the next one finishes.

#include <cstdint>
#include <memory>
#include <optional>

#include "mpi/comm.hpp"
#include "policy/absent_ranks.hpp"
#include "policy/ballot.hpp"

namespace muster::policy {

class SteppedVote {
 public:
  // Collective over comm, which is duplicated.
  SteppedVote(MPI_Comm comm, double warn_after_s, double timeout_s);
  // Waits a little for the last vote to end; where it does not, the communicator is given up. Nothing after
  // MPI_Finalize.
  ~SteppedVote();
  SteppedVote(const SteppedVote&) = delete;
  SteppedVote& operator=(const SteppedVote&) = delete;

  // By turns, on every rank: what came of the ballots of the last start(), none before the first. Waits until all ranks
  // have started, says on the log who has not, and throws Error{timeout} in the end.
  std::optional<Ballot> finish();
  void start(const Ballot& ballot);

  [[nodiscard]] const mpi::CommView& comm() const { return comm_; }

 private:
  bool is_over();
  void wait();

  mpi::Comm owner_;
  mpi::CommView comm_;
  double warn_after_s_;
  AbsentRanks absent_ranks_;
  std::uint64_t calls_ = 0;
  // Of the vote in flight; on the heap, to be given up together where it never ends.
  struct Flight {
    Ballot mine;
    Ballot all;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  std::unique_ptr<Flight> flight_ = std::make_unique<Flight>();
};

}  // namespace muster::policy
