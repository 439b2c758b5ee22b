#pragma once
// Who is missing, found out by those who wait: ranks that have waited for long tell each other so. No rank has to
// answer.

#include <mpi.h>

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "mpi/comm.hpp"

namespace muster::policy {

class AbsentRanks {
 public:
  // Collective.
  explicit AbsentRanks(const mpi::CommView& comm);
  // Messages that nobody received yet are given up, with their memory.
  ~AbsentRanks();
  AbsentRanks(const AbsentRanks&) = delete;
  AbsentRanks& operator=(const AbsentRanks&) = delete;

  // To be called again and again by a rank that waits in its call number `call` (from 1); the first time it tells the
  // others. Once it has listened for two seconds: the ranks that neither made that call nor wait in the one before it,
  // in ascending order, on each of the first 64 ranks that waits; none before, and on the others. (A vote may be over
  // on some ranks while others still wait in it for the rank that is late.)
  std::optional<std::vector<int>> absent(std::uint64_t call);
  // Whether this rank is the first of those that wait, and so the one to tell people.
  [[nodiscard]] bool is_first() const;
  // The wait in that call is over: tells the others, if they were told of it.
  void leave();
  // Takes in what others told, without waiting.
  void listen();

 private:
  // What ranks tell: 2 * call when they wait, 2 * call + 1 when they leave.
  void tell(std::uint64_t word);
  // Whether the word says that its rank is not the one for which ranks wait in their call.
  static bool excuses(std::uint64_t word, std::uint64_t call);

  mpi::CommView comm_;
  std::uint64_t told_ = 0;            // the last call that was told
  bool waits_ = false;                // still in it
  Stopwatch since_;                   // then
  std::vector<std::uint64_t> heard_;  // by rank: the last word that it told
  std::uint64_t nonce_ = 0;           // MPI may give a later communicator the messages that nobody received in this one
  struct Message {
    std::array<std::uint64_t, 2> text{};  // nonce, word
    MPI_Request request = MPI_REQUEST_NULL;
  };
  std::list<Message> sent_;
};

}  // namespace muster::policy
