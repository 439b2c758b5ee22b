#pragma once
// Who is missing, found out by those who wait: ranks that have waited for long tell each other so. No rank has to
// answer.

#include <mpi.h>

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "mpi/comm.hpp"

namespace muster::policy {

class RollCall {
 public:
  explicit RollCall(const mpi::CommView& comm);
  // Messages that nobody received yet are given up, with their memory.
  ~RollCall();
  RollCall(const RollCall&) = delete;
  RollCall& operator=(const RollCall&) = delete;

  // To be called again and again by a rank that waits in its call number `call` (from 1); the first time it tells the
  // others. Once it has listened for a second: the ranks of which nothing was heard, in ascending order, on each of the
  // first 64 ranks that waits; none before, and on the others.
  std::optional<std::vector<int>> absent(std::uint64_t call);
  // Whether this rank is the first of those that wait, and so the one to tell people.
  [[nodiscard]] bool is_first() const;
  // Takes in what others told, without waiting.
  void listen();

 private:
  void tell(std::uint64_t call);

  mpi::CommView comm_;
  std::uint64_t told_ = 0;            // the last call that was told
  Stopwatch since_;                   // then
  std::vector<std::uint64_t> heard_;  // by rank: the last call that it told of
  struct Message {
    std::uint64_t call = 0;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  std::list<Message> sent_;
};

}  // namespace muster::policy
