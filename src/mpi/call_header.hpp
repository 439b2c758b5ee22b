#pragma once
// The small header that every collective call of a Checkpointer begins with, so that calls that differ between ranks
// are an error and not a wait that never ends.

#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "mpi/comm.hpp"

namespace muster::mpi {

class CallHeader {
 public:
  // As many values travel beside the header of any call.
  static constexpr std::size_t kValues = 9;
  // What a call passes for a value that only other calls have.
  static constexpr auto kNone = std::numeric_limits<std::uint64_t>::max();

  explicit CallHeader(const CommView& comm) : comm_(comm) {}

  // Collective: one allreduce. `call` says what the program called ("save", "load"); the header counts the calls. At
  // most kValues values are replaced by the smallest that any rank passed. Throws CollectiveError{"agree"} of kind
  // mismatch on all ranks if one of them makes another call, or has made another number of calls.
  void begin(const std::string& call, std::span<std::uint64_t> values);

 private:
  const CommView& comm_;
  std::uint64_t calls_ = 0;
};

}  // namespace muster::mpi
