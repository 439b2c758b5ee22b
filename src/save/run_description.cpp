#include "save/run_description.hpp"

#include <muster/version.hpp>
#include <optional>

#include "base/clock.hpp"
#include "h5/library.hpp"
#include "mpi/library.hpp"

namespace muster::save {

namespace {

// The number at the end of the tag: "step_100" is step 100.
std::optional<std::int64_t> step_of(const SaveOptions& options) {
  if (options.step) return options.step;
  const auto& tag = options.tag;
  auto begin = tag.size();
  while (begin > 0 && tag[begin - 1] >= '0' && tag[begin - 1] <= '9') --begin;
  if (begin == tag.size() || tag.size() - begin > 18) return std::nullopt;
  return std::stoll(tag.substr(begin));
}

}  // namespace

RunInfo describe_run(const mpi::Team& team, const SaveJob& job, std::uint64_t sequence) {
  RunInfo run;
  run.tag = job.options.tag;
  run.step = step_of(job.options);
  run.sequence = sequence;
  run.saved_at = utc_now();
  run.world_size = team.comm.size();
  run.payload_bytes = job.plan->layout.payload_bytes;
  run.file_bytes = job.plan->layout.file_bytes;
  const auto& grid = job.grid;
  run.details = {
      {"grid",
       {{"tensor", grid.tensor},
        {"pipeline", grid.pipeline},
        {"data", grid.data},
        {"expert", grid.expert},
        {"context", grid.context},
        {"order", grid.order}}},
      {"generation", job.generation},
      {"nodes", mpi::node_count(team)},
      {"engine", name(job.plan->choice.engine)},
      {"engine_reason", job.plan->choice.reason},
      {"muster_version", kVersion},
      {"hdf5_version", h5::library_version()},
      {"mpi_version", mpi::library_version()},
  };
  return run;
}

}  // namespace muster::save
