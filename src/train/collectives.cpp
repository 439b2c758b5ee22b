#include "train/collectives.hpp"

#include <mpi.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <muster/error.hpp>
#include <string>

#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"

namespace muster::train {

void without_backtraces(const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    throw Error(ErrorKind::internal, "Torch: " + message.substr(0, message.find('\n')));
  }
}

void together(const mpi::CommView& comm, const std::function<void()>& work) {
  try {
    mpi::run_agreed(comm, "muster-train", [&work] { without_backtraces(work); });
  } catch (const CollectiveError& error) {
    const auto& first = error.failures().front();
    throw AgreedError(first.kind, (first.rank == 0 ? "" : "rank " + std::to_string(first.rank) + ": ") + first.message);
  }
}

void require_same(const mpi::CommView& comm, std::string_view text, std::string_view what) {
  const std::uint64_t hash = hash_bytes(as_bytes(text));
  std::array<std::uint64_t, 2> least{hash, ~hash};  // the least complement is that of the greatest hash
  comm.all_min(least);
  if (least[0] != ~least[1]) {
    throw AgreedError(ErrorKind::usage, "the ranks were started with different " + std::string(what));
  }
}

namespace {

void reduce_over_ranks(const mpi::CommView& comm, std::span<float> values, MPI_Op operation) {
  constexpr std::size_t kMaxTransferValues = (std::size_t{1} << 30) / sizeof(float);
  while (!values.empty()) {
    const auto part = values.first(std::min(kMaxTransferValues, values.size()));
    mpi::check(MPI_Allreduce(MPI_IN_PLACE, part.data(), narrow<int>(part.size()), MPI_FLOAT, operation, comm.handle()),
               "MPI_Allreduce");
    values = values.subspan(part.size());
  }
}

}  // namespace

void sum_over_ranks(const mpi::CommView& comm, std::span<float> values) { reduce_over_ranks(comm, values, MPI_SUM); }

void greatest_of_ranks(const mpi::CommView& comm, std::span<float> values) { reduce_over_ranks(comm, values, MPI_MAX); }

double sum_over_ranks(const mpi::CommView& comm, double value) {
  mpi::check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, comm.handle()), "MPI_Allreduce");
  return value;
}

}  // namespace muster::train
