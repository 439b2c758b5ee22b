#pragma once
// Turning what happened on one rank into what happened on all.

#include <exception>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/bytes.hpp"
#include "mpi/comm.hpp"

namespace muster::mpi {

// Local. What an exception of this rank says to the others.
RankFailure failure_of(int rank, const std::exception_ptr& failure);

// A failure in a message between ranks.
void put(ByteWriter& writer, const RankFailure& failure);
RankFailure get_failure(ByteReader& reader);

// Collective. Returns where no rank brings an exception; else throws the same CollectiveError on every rank.
// One allreduce on the good path. Error{timeout} passes through as it is: the communicator is lost then.
void agree(const CommView& comm, std::string_view phase, const std::exception_ptr& failure);

// Collective. Runs `work`, which is local to this rank, then agrees on how it went. Returns what `work` returned.
template <class Work>
auto run_agreed(const CommView& comm, std::string_view phase, Work&& work) {
  using Result = std::invoke_result_t<Work>;
  std::exception_ptr failure;
  if constexpr (std::is_void_v<Result>) {
    try {
      std::forward<Work>(work)();
    } catch (...) {
      failure = std::current_exception();
    }
    agree(comm, phase, failure);
  } else {
    std::optional<Result> result;
    try {
      result.emplace(std::forward<Work>(work)());
    } catch (...) {
      failure = std::current_exception();
    }
    agree(comm, phase, failure);
    return std::move(*result);
  }
}

// Collective. Runs `work` on rank 0 only; all ranks learn how it went.
template <class Work>
void run_on_root(const CommView& comm, std::string_view phase, Work&& work) {
  run_agreed(comm, phase, [&] {
    if (comm.rank() == 0) std::forward<Work>(work)();
  });
}

}  // namespace muster::mpi
