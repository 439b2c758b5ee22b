#include "bench/load_contender.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "bench/peak_memory.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

LoadContender::LoadContender(std::string name, const mpi::CommView& comm, const PageCache& cache,
                             const std::filesystem::path& file, HeldTensors& held)
    : name_(std::move(name)),
      comm_(comm),
      cache_(cache),
      file_(file),
      held_(held),
      checkpointer_(comm.handle(), file.parent_path()) {}

Sample LoadContender::run_round(int round) {
  if (round == 0) held_.spoil();
  cache_.drop(file_);
  LoadTarget target;
  target.state = held_.state();
  const PeakMemory memory;
  comm_.barrier();
  const Stopwatch watch;
  const auto report = checkpointer_.load({.tag = file_.stem().string()}, target);
  const double seconds = watch.seconds();
  Sample sample{.seconds = max_over_ranks(comm_, seconds)};
  std::uint64_t read_bytes = 0;
  for (const auto& rank : gather_json(
           comm_,
           {{"phase_s", report.phase_s}, {"peak_bytes", memory.peak_bytes()}, {"read_bytes", report.read_bytes}})) {
    read_bytes += rank.at("read_bytes").get<std::uint64_t>();
    for (const auto& [phase, phase_s] : rank.at("phase_s").get<std::map<std::string, double>>()) {
      sample.phase_s[phase] = std::max(sample.phase_s[phase], phase_s);
    }
    sample.peak_bytes = std::max(sample.peak_bytes, rank.at("peak_bytes").get<std::uint64_t>());
  }
  sample.details = {{"read_bytes", read_bytes}};
  if (round == 0) {
    mpi::run_agreed(comm_, "verify", [&] { held_.verify(); });
    sample.details["verified"] = true;
  }
  return sample;
}

}  // namespace muster::bench
