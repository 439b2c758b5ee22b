#include "bench/save_contender.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/posix.hpp"
#include "bench/memory.hpp"
#include "mpi/agree.hpp"
#include "store/history.hpp"

namespace muster::bench {

namespace {

// Of all threads of this process.
double cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

SaveOptions overlapping(Overlap overlap) { return {.async = {.overlap_staging = true, .overlap = overlap}}; }

}  // namespace

const std::vector<SaveVariant>& save_variants() {
  static const std::vector<SaveVariant> variants{
      {"auto", EngineChoice::automatic},
      {"direct", EngineChoice::direct},
      {"collective", EngineChoice::collective},
      {"async", EngineChoice::direct, {}, true},
      {"async-overlap", EngineChoice::direct, overlapping(Overlap::copying), true},
      {"async-writing", EngineChoice::direct, overlapping(Overlap::writing), true},
  };
  return variants;
}

SaveContender::SaveContender(const mpi::CommView& comm, const std::filesystem::path& directory, const HeldTensors& held,
                             const SaveVariant& variant)
    : comm_(comm),
      variant_(variant),
      held_(held),
      state_(held.state()),
      copy_(variant.async ? held.bytes() : 0),
      checkpointer_(comm.handle(), directory, {.retention = {.newest = 1}, .engine = variant.engine}) {
  std::ranges::fill(copy_.bytes(), std::byte{1});
}

// Into memory that is there already.
double SaveContender::memcpy_s() {
  comm_.barrier();
  const Stopwatch watch;
  held_.copy_to(copy_.bytes().data());
  return watch.seconds();
}

nlohmann::json SaveContender::run_round(int round) {
  auto& options = variant_.options;
  options.tag = fmt::format("round_{}", round);
  const double copied_s = variant_.async ? memcpy_s() : 0;
  const PeakMemory memory;
  comm_.barrier();
  const double cpu_before_s = cpu_s();
  const Stopwatch watch;
  double blocked_s = 0;
  SaveReport report;
  if (variant_.async) {
    auto handle = checkpointer_.save_async(state_, options);
    blocked_s = watch.seconds();
    report = handle.wait();
  } else {
    report = checkpointer_.save(state_, options);
  }
  nlohmann::json sample{{"seconds", watch.seconds()},
                        {"phase_s", report.phase_s},
                        {"first_byte_s", report.first_byte_s},
                        {"peak_bytes", memory.peak_bytes()},
                        {"file_bytes", report.file_bytes},
                        {"plan_reused", report.plan_reused},
                        {"engine", report.engine}};
  file_ = report.file;
  if (!variant_.async) return sample;
  sample.update(
      {{"blocked_s", blocked_s}, {"blocked_of_memcpy", blocked_s / copied_s}, {"cpu_s", cpu_s() - cpu_before_s}});
  mpi::run_on_root(comm_, "report", [&] {
    sample["publish_s"] = store::read_history(checkpointer_.directory()).back().at("publish_s");
  });
  return sample;
}

void SaveContender::clean_up() {
  mpi::run_on_root(comm_, "clean up", [&] {
    posix::remove(file_);
    posix::sync_directory(file_.parent_path());
  });
}

}  // namespace muster::bench
