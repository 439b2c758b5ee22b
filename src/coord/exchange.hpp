#pragma once
// What ranks tell each other before a plan is made.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "model/plan.hpp"
#include "mpi/comm.hpp"
#include "plan/merge.hpp"

namespace muster::coord {

// Ranks that passed the same bytes, and those bytes.
struct Saying {
  RankSet ranks;
  std::span<const std::byte> bytes;      // in `storage`
  std::shared_ptr<const Bytes> storage;  // all sayings have it in common
};

// Collective. Every distinct byte string and who passed it, on every rank, ordered by lowest rank. Where all passed
// the same, nothing but a hash a rank travels; else each distinct string travels once.
std::vector<Saying> all_sayings(const mpi::CommView& comm, const Bytes& mine);

// The same where each rank passes any number of strings, all different; those of one rank stay in their order.
std::vector<Saying> all_distinct(const mpi::CommView& comm, const std::vector<Bytes>& mine);

// Collective. Throws CollectiveError{phase} of kind mismatch unless all ranks pass the same text; the message lists
// who passed what: "the ranks differ in <what>: ranks 0-1 pass 'a'; rank 2 passes 'b'".
void require_same(const mpi::CommView& comm, const std::string& phase, const std::string& what,
                  const std::string& text);

}  // namespace muster::coord
