#include "bench/write_limit.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <optional>

#include "base/clock.hpp"
#include "base/narrow.hpp"
#include "bench/direct_flag.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

WriteLimit::WriteLimit(const mpi::CommView& comm, std::filesystem::path directory, std::uint64_t total_bytes,
                       bool own_files_only)
    : comm_(comm), directory_(std::move(directory)) {
  const auto ranks = static_cast<std::uint64_t>(comm.size());
  rank_bytes_ = align_up((total_bytes + ranks - 1) / ranks, kBlockBytes);
  int flag = 0;
  mpi::run_on_root(comm, "limit", [&] { flag = direct_flag(directory_); });
  flag = broadcast_json(comm, flag).get<int>();
  open_flags_ = O_WRONLY | flag;
  for (const bool shared : {false, true}) {
    if (shared && own_files_only) continue;
    for (const int depth : {1, kMaxDepth}) {
      kinds_.push_back({shared, depth});
      names_.push_back(fmt::format("{}, {}{} in flight", shared ? "one shared file" : "a file per rank",
                                   flag != 0 ? "" : "buffered, ", depth));
    }
  }
}

double WriteLimit::measure(std::size_t kind) {
  const bool shared = kinds_.at(kind).shared;
  const int depth = kinds_.at(kind).depth;
  const auto rank = comm_.rank();
  const auto path = directory_ / (shared ? "limit.shared" : fmt::format("limit.{}", rank));
  const bool creates = !shared || rank == 0;
  std::optional<posix::File> file;
  mpi::run_agreed(comm_, "limit", [&] {
    if (!creates) return;
    file.emplace(path, open_flags_ | O_CREAT | O_TRUNC);
    const auto ranks = shared ? static_cast<std::uint64_t>(comm_.size()) : 1;
    file->allocate(ranks * rank_bytes_);
    file->sync();
  });
  mpi::run_agreed(comm_, "limit", [&] {
    if (!creates) file.emplace(path, open_flags_);
  });
  comm_.barrier();
  const Stopwatch watch;
  double seconds = 0;
  mpi::run_agreed(comm_, "limit", [&] {
    const auto offset = shared ? static_cast<std::uint64_t>(rank) * rank_bytes_ : 0;
    transfer_.run(*file, Direction::write, offset, rank_bytes_, depth);
    file->sync();
    seconds = watch.seconds();
  });
  mpi::run_agreed(comm_, "limit", [&] {
    file.reset();
    if (!creates) return;
    posix::remove(path);
    posix::sync_directory(directory_);
  });
  return max_over_ranks(comm_, seconds);
}

}  // namespace muster::bench
