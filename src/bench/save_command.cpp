// muster-bench save

#include <fmt/format.h>

#include "base/clock.hpp"
#include "bench/async_contender.hpp"
#include "bench/command.hpp"
#include "bench/engine_contender.hpp"
#include "bench/exit_code.hpp"
#include "bench/peer_contender.hpp"
#include "bench/report.hpp"
#include "bench/run_directory.hpp"
#include "bench/session.hpp"
#include "bench/workload_json.hpp"
#include "bench/write_limit.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

// All that is to be measured, each in a directory of its own. A peer that cannot run becomes an absence.
Contenders make_contenders(const mpi::CommView& comm, const Options& options, const HeldTensors& held,
                           const std::filesystem::path& directory, std::vector<Absence>& absences) {
  Contenders contenders;
  for (const auto& engine : options.engines) {
    if (engine.async) {
      contenders.push_back(std::make_unique<AsyncContender>(comm, directory / engine.name, held, engine));
    } else {
      contenders.push_back(std::make_unique<EngineContender>(comm, directory / engine.name, held, engine));
    }
  }
  if (options.peers.empty()) return contenders;
  const auto workload_file = directory / "workload.json";
  mpi::run_on_root(comm, "prepare", [&] {
    write_json(workload_file, workload_to_json(options.workload, assign_holders(options.workload, comm.size())));
  });
  for (const auto& peer : options.peers) {
    auto contender = std::make_unique<PeerContender>(comm, peer, workload_file, directory / peer,
                                                     std::string(name(options.held)), options.peer);
    if (contender->absence()) {
      absences.push_back({peer, *contender->absence()});
    } else {
      contenders.push_back(std::move(contender));
    }
  }
  return contenders;
}

int measure(const mpi::CommView& comm, const Arguments& arguments, const Options& options) {
  const auto say = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  Report report{.command = "save", .command_line = arguments, .ranks = comm.size(), .started_at = utc_now()};

  const RunDirectory directory(comm, options.directory);
  const auto held = mpi::run_agreed(comm, "prepare", [&] {
    return HeldTensors(options.workload, options.held, options.seed, comm.rank(), comm.size());
  });
  std::vector<Absence> absences;
  const auto contenders = make_contenders(comm, options, held, directory.path(), absences);
  if (comm.rank() == 0) {
    for (const auto& absence : absences) say(fmt::format("left out: {}: {}", absence.name, absence.why));
  }
  std::unique_ptr<WriteLimit> limit;
  if (options.with_limit) {
    limit = std::make_unique<WriteLimit>(comm, directory.path(), options.workload.payload_bytes(),
                                         options.workload.name == "small");
  }
  const auto result = run_rounds(comm, limit.get(), contenders, options.rounds, say);
  mpi::run_on_root(comm, "report", [&] {
    const auto all = to_json(report, options, result, absences);
    print_report(all);
    if (options.json_file) write_json(*options.json_file, all);
  });
  return kFine;
}

}  // namespace

int save(const Arguments& arguments) {
  const auto options = parse_save(arguments);
  if (!options) return kFine;
  leave_signals_to_run_directory();
  return run_in_session([&](const mpi::CommView& comm) { return measure(comm, arguments, *options); });
}

}  // namespace muster::bench
