#include "bench/read_limit.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/clock.hpp"
#include "base/narrow.hpp"
#include "bench/direct_flag.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

ReadLimit::ReadLimit(const mpi::CommView& comm, const PageCache& cache, std::filesystem::path file)
    : comm_(comm), cache_(cache), file_(std::move(file)) {
  nlohmann::json found;
  mpi::run_on_root(comm, "limit", [&] {
    found = {{"flag", direct_flag(file_.parent_path())}, {"bytes", posix::File(file_, O_RDONLY).size()}};
  });
  found = broadcast_json(comm, found);
  const auto flag = found.at("flag").get<int>();
  open_flags_ = O_RDONLY | flag;
  for (const int depth : depths_) names_.push_back(fmt::format("{}{} in flight", flag != 0 ? "" : "buffered, ", depth));
  // The last block, where it is not whole, is left out.
  const auto whole = found.at("bytes").get<std::uint64_t>() / kBlockBytes * kBlockBytes;
  const auto ranks = static_cast<std::uint64_t>(comm.size());
  const auto share = align_up((whole + ranks - 1) / ranks, kBlockBytes);
  first_byte_ = std::min(whole, share * static_cast<std::uint64_t>(comm.rank()));
  bytes_ = std::min(share, whole - first_byte_);
}

double ReadLimit::measure(std::size_t kind) {
  cache_.drop(file_);
  std::optional<posix::File> file;
  mpi::run_agreed(comm_, "limit", [&] { file.emplace(file_, open_flags_); });
  comm_.barrier();
  const Stopwatch watch;
  double seconds = 0;
  mpi::run_agreed(comm_, "limit", [&] {
    transfer_.run(*file, Direction::read, first_byte_, bytes_, depths_.at(kind));
    seconds = watch.seconds();
  });
  return max_over_ranks(comm_, seconds);
}

}  // namespace muster::bench
