#pragma once
// Byte strings that many ranks have in common travel once.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "mpi/comm.hpp"

namespace muster::mpi {

// Ranks that passed the same bytes, and those bytes.
struct SharedBytes {
  std::vector<int> ranks;
  std::span<const std::byte> bytes;      // in `storage`
  std::shared_ptr<const Bytes> storage;  // one for all of a call
};

// Collective over comm. Each rank passes any number of different byte strings. Returns, on every rank, each distinct
// string with the ranks that passed it, ordered by the lowest of these ranks; the strings of one rank keep their order.
// If all ranks pass the same strings, only a hash travels; else each distinct string travels once.
std::vector<SharedBytes> exchange_distinct(const CommView& comm, const std::vector<Bytes>& mine);

// Collective over comm. Throws CollectiveError{phase} of kind mismatch unless all ranks pass the same text. The message
// lists who passed what: "the ranks differ in <what>: ranks 0-1 pass 'a'; rank 2 passes 'b'".
void require_same(const CommView& comm, const std::string& phase, const std::string& what, const std::string& text);

}  // namespace muster::mpi
