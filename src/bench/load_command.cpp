// muster-bench load

#include <fmt/format.h>

#include "base/clock.hpp"
#include "bench/command.hpp"
#include "bench/engine_contender.hpp"
#include "bench/exit_code.hpp"
#include "bench/load_contender.hpp"
#include "bench/read_limit.hpp"
#include "bench/report.hpp"
#include "bench/run_directory.hpp"
#include "bench/session.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

int measure(const mpi::CommView& comm, const Arguments& arguments, const Options& options) {
  const auto say = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  Report report{.command = "load", .command_line = arguments, .ranks = comm.size(), .started_at = utc_now()};

  const RunDirectory directory(comm, options.directory);
  auto held = mpi::run_agreed(comm, "prepare", [&] {
    return HeldTensors(options.workload, options.held, options.seed, comm.rank(), comm.size());
  });
  std::optional<HeldTensors> wanted;
  mpi::run_agreed(comm, "prepare", [&] {
    if (options.into) wanted.emplace(options.workload, *options.into, options.seed, comm.rank(), comm.size());
  });
  EngineContender saver(comm, directory.path(), held, options.engines.front());
  const auto saved = saver.run_round(0);
  if (comm.rank() == 0) say(fmt::format("saved by {} in {:.3f} s", saver.name(), saved.seconds));

  const PageCache cache(comm);
  std::unique_ptr<ReadLimit> limit;
  if (options.with_limit) limit = std::make_unique<ReadLimit>(comm, cache, saver.file());
  Contenders contenders;
  contenders.push_back(std::make_unique<LoadContender>("load", comm, cache, saver.file(), held));
  if (wanted) {
    contenders.push_back(std::make_unique<LoadContender>(
        fmt::format("{} to {}", name(options.held), name(*options.into)), comm, cache, saver.file(), *wanted));
  }
  const auto result = run_rounds(comm, limit.get(), contenders, options.rounds, say);
  report.notes = {{"cache_dropped_by", cache.method()}, {"verified", true}, {"saved_by", saver.name()}};
  mpi::run_on_root(comm, "report", [&] {
    const auto all = to_json(report, options, result, {});
    print_report(all);
    if (options.json_file) write_json(*options.json_file, all);
  });
  return kFine;
}

}  // namespace

int load(const Arguments& arguments) {
  const auto options = parse_load(arguments);
  if (!options) return kFine;
  leave_signals_to_run_directory();
  return run_in_session([&](const mpi::CommView& comm) { return measure(comm, arguments, *options); });
}

}  // namespace muster::bench
