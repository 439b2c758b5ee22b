#include "bench/engine_contender.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/posix.hpp"
#include "bench/peak_memory.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

EngineContender::EngineContender(const mpi::CommView& comm, const std::filesystem::path& directory,
                                 const HeldTensors& held, const EngineVariant& variant)
    : comm_(comm),
      name_(variant.name),
      options_(variant.options),
      state_(held.state()),
      checkpointer_(comm.handle(), directory) {
  options_.num_kept_ckpts = 1;
}

Sample EngineContender::run_round(int round) {
  options_.tag = fmt::format("round_{}", round);
  const PeakMemory memory;
  comm_.barrier();
  const Stopwatch watch;
  const auto report = checkpointer_.save(state_, options_);
  const double seconds = watch.seconds();
  file_ = report.file;
  Sample sample{.seconds = max_over_ranks(comm_, seconds)};
  const auto told = gather_json(
      comm_, {{"phase_s", report.phase_s}, {"first_byte_s", report.first_byte_s}, {"peak_bytes", memory.peak_bytes()}});
  for (const auto& rank : told) {
    for (const auto& [phase, phase_s] : rank.at("phase_s").get<std::map<std::string, double>>()) {
      sample.phase_s[phase] = std::max(sample.phase_s[phase], phase_s);
    }
    sample.first_byte_s = std::max(sample.first_byte_s, rank.at("first_byte_s").get<double>());
    sample.peak_bytes = std::max(sample.peak_bytes, rank.at("peak_bytes").get<std::uint64_t>());
  }
  sample.details = {{"plan_reused", report.plan_reused},
                    {"engine", report.engine},
                    {"engine_reason", report.engine_reason},
                    {"file_bytes", report.file_bytes},
                    {"collective_transfers", report.collective_transfers},
                    {"independent_transfers", report.independent_transfers}};
  return sample;
}

void EngineContender::clean_up() {
  mpi::run_on_root(comm_, "clean up", [&] {
    posix::remove(file_);
    posix::sync_directory(file_.parent_path());
  });
}

}  // namespace muster::bench
