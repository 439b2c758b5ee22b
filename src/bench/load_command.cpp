// muster-bench load

#include <fmt/format.h>

#include "base/clock.hpp"
#include "bench/limit.hpp"
#include "bench/memory.hpp"
#include "bench/options.hpp"
#include "bench/report.hpp"
#include "bench/rounds.hpp"
#include "bench/run_directory.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

constexpr const char* kTag = "saved";

// Loads of a cold checkpoint into memory that is there already. In round 0 the bytes are compared with those saved.
class LoadContender : public Contender {
 public:
  LoadContender(std::string name, const mpi::CommView& comm, const std::filesystem::path& file, HeldTensors& held)
      : name_(std::move(name)),
        comm_(comm),
        file_(file),
        held_(held),
        checkpointer_(comm.handle(), file.parent_path()) {}

  [[nodiscard]] std::string name() const override { return name_; }

  nlohmann::json run_round(int round) override {
    if (round == 0) held_.spoil();
    drop_cached_pages(comm_, file_);
    LoadTarget target;
    target.state = held_.state();
    const PeakMemory memory;
    comm_.barrier();
    const Stopwatch watch;
    const auto report = checkpointer_.load({.tag = kTag}, target);
    const double seconds = watch.seconds();
    std::array<std::uint64_t, 1> read_bytes{report.read_bytes};
    nlohmann::json sample{{"seconds", seconds}, {"phase_s", report.phase_s}, {"peak_bytes", memory.peak_bytes()}};
    comm_.all_sum(read_bytes);
    sample["read_bytes"] = read_bytes[0];
    if (round == 0) mpi::run_agreed(comm_, "verify", [&] { held_.verify(); });
    return sample;
  }

  void clean_up() override {}

 private:
  const std::string name_;
  const mpi::CommView& comm_;
  std::filesystem::path file_;
  HeldTensors& held_;
  Checkpointer checkpointer_;
};

int measure(const mpi::CommView& comm, const Options& options) {
  const auto started_at = utc_now();
  mpi::run_on_root(comm, "prepare", [&] { program::require_place_for("--json", options.json_file); });
  const RunDirectory directory(comm, options.directory);
  const auto& workload = options.workload;
  const auto hold = [&](Held held) {
    return mpi::run_agreed(comm, "prepare", [&] { return HeldTensors(workload, held, comm.rank(), comm.size()); });
  };
  auto held = hold(options.held);
  std::optional<HeldTensors> wanted;
  if (options.into) wanted.emplace(hold(*options.into));
  const auto file = Checkpointer(comm.handle(), directory.path()).save(held.state(), {.tag = kTag}).file;

  const auto limit = read_limit(comm, file);
  Contenders contenders;
  contenders.push_back(std::make_unique<LoadContender>("load", comm, file, held));
  if (wanted) {
    const auto name_of_both = fmt::format("{} to {}", name(options.held), name(*options.into));
    contenders.push_back(std::make_unique<LoadContender>(name_of_both, comm, file, *wanted));
  }
  const auto result = run_rounds(comm, *limit, contenders, options.rounds, workload.payload_bytes());
  mpi::run_on_root(comm, "report", [&] {
    const auto report = report_of("load", comm.size(), started_at, options, result);
    print_report(report);
    write_json(options.json_file, report);
  });
  return kFine;
}

}  // namespace

int load(const Arguments& arguments) {
  const auto options = parse_load(arguments);
  if (!options) return kFine;
  leave_signals_to_run_directory();
  return program::run_on_ranks(kTimeoutS, [&](const mpi::CommView& comm) { return measure(comm, *options); });
}

}  // namespace muster::bench
