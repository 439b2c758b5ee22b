// muster-bench save

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.hpp"
#include "bench/limit.hpp"
#include "bench/options.hpp"
#include "bench/peer_contender.hpp"
#include "bench/report.hpp"
#include "bench/rounds.hpp"
#include "bench/run_directory.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

int measure(const mpi::CommView& comm, const Options& options) {
  const auto started_at = utc_now();
  mpi::run_on_root(comm, "prepare", [&] { program::require_place_for("--json", options.json_file); });
  const RunDirectory run_directory(comm, options.directory);
  const auto& directory = run_directory.path();
  const auto& workload = options.workload;
  const auto held =
      mpi::run_agreed(comm, "prepare", [&] { return HeldTensors(workload, options.held, comm.rank(), comm.size()); });
  // Each in a directory of its own.
  Contenders contenders;
  for (const auto& engine : options.engines) {
    contenders.push_back(std::make_unique<SaveContender>(comm, directory / engine.name, held, engine));
  }
  const auto workload_file = directory / "workload.json";
  mpi::run_on_root(comm, "prepare", [&] {
    if (!options.peers.empty())
      write_json(workload_file, workload_json(workload, assign_holders(workload, comm.size())));
  });
  auto absent = nlohmann::json::object();
  for (const auto& peer : options.peers) {
    auto contender = std::make_unique<PeerContender>(comm, peer, workload_file, directory / peer, name(options.held));
    if (!contender->absence()) {
      contenders.push_back(std::move(contender));
      continue;
    }
    absent[peer] = *contender->absence();
    if (comm.rank() == 0) fmt::print(stderr, "left out: {}: {}\n", peer, *contender->absence());
  }
  const auto limit = write_limit(comm, directory, workload.payload_bytes(), workload.name == "small");
  const auto result = run_rounds(comm, *limit, contenders, options.rounds, workload.payload_bytes());
  mpi::run_on_root(comm, "report", [&] {
    auto report = report_of("save", comm.size(), started_at, options, result);
    report["absent"] = absent;
    print_report(report);
    write_json(options.json_file, report);
  });
  return kFine;
}

}  // namespace

int save(const Arguments& arguments) {
  const auto options = parse_save(arguments);
  if (!options) return kFine;
  leave_signals_to_run_directory();
  return program::run_on_ranks(kTimeoutS, [&](const mpi::CommView& comm) { return measure(comm, *options); });
}

}  // namespace muster::bench
