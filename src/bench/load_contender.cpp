#include "bench/load_contender.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "bench/memory_growth.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

LoadContender::LoadContender(const mpi::CommView& comm, const PageCache& cache, const std::filesystem::path& file,
                             HeldTensors& held)
    : comm_(comm), cache_(cache), file_(file), held_(held), checkpointer_(comm.handle(), file.parent_path()) {}

Sample LoadContender::run_round(int round) {
  if (round == 0) held_.spoil();
  cache_.drop(file_);
  LoadTarget target;
  target.state = held_.state();
  const MemoryGrowth memory;
  comm_.barrier();
  const Stopwatch watch;
  const auto report = checkpointer_.load({.tag = file_.stem().string()}, target);
  const double seconds = watch.seconds();
  Sample sample{.seconds = max_over_ranks(comm_, seconds)};
  for (const auto& rank : gather_json(comm_, {{"peak_bytes", memory.bytes()}})) {
    sample.peak_bytes = std::max(sample.peak_bytes, rank.at("peak_bytes").get<std::uint64_t>());
  }
  sample.details = {{"read_bytes_of_rank_0", report.read_bytes}};
  if (round == 0) {
    mpi::run_agreed(comm_, "verify", [&] { held_.verify(); });
    sample.details["verified"] = true;
  }
  return sample;
}

}  // namespace muster::bench
