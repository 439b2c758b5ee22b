#include "bench/async_contender.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "base/clock.hpp"
#include "base/posix.hpp"
#include "bench/peak_memory.hpp"
#include "bench/ranks.hpp"
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

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  const auto& [description, memory] = tensor;
  const auto range = contiguous_range(description.shard, description.shape);
  return {memory.data, range->count * item_bytes(description.dtype)};
}

}  // namespace

AsyncContender::AsyncContender(const mpi::CommView& comm, const std::filesystem::path& directory,
                               const HeldTensors& held, const EngineVariant& variant)
    : comm_(comm),
      name_(variant.name),
      options_(variant.options),
      state_(held.state()),
      copy_(held.bytes()),
      checkpointer_(comm.handle(), directory) {
  options_.num_kept_ckpts = 1;
  std::ranges::fill(copy_.bytes(), std::byte{1});
}

// What memcpy takes for the same bytes into memory that is there already; all ranks at once, as in a save.
double AsyncContender::copy_s() {
  comm_.barrier();
  const Stopwatch watch;
  auto* to = copy_.bytes().data();
  for (const auto& tensor : state_.tensors()) {
    const auto from = bytes_of(tensor);
    if (from.empty()) continue;
    std::memcpy(to, from.data(), from.size());
    to += from.size();
  }
  return watch.seconds();
}

Sample AsyncContender::run_round(int round) {
  options_.tag = fmt::format("round_{}", round);
  const double memcpy_s = copy_s();
  const PeakMemory memory;
  comm_.barrier();
  const double cpu_before_s = cpu_s();
  const Stopwatch watch;
  auto handle = checkpointer_.save_async(state_, options_);
  const double blocked_s = watch.seconds();
  // As a program whose state stays as it is for longer than the save takes.
  const bool writes = options_.async.overlap_staging && options_.async.overlap == Overlap::writing;
  if (!writes) handle.wait_staged();
  double staged_s = watch.seconds();
  const auto report = handle.wait();
  const double seconds = watch.seconds();
  if (writes) staged_s = seconds;
  const double save_cpu_s = cpu_s() - cpu_before_s;
  file_ = report.file;
  Sample sample{.seconds = max_over_ranks(comm_, seconds)};
  const auto told = gather_json(comm_, {{"phase_s", report.phase_s},
                                        {"first_byte_s", report.first_byte_s},
                                        {"peak_bytes", memory.peak_bytes()},
                                        {"blocked_s", blocked_s},
                                        {"staged_s", staged_s},
                                        {"memcpy_s", memcpy_s},
                                        {"cpu_s", save_cpu_s},
                                        {"staged_bytes", copy_.size()}});
  double ratio = 0;
  auto& details = sample.details;
  for (const auto& rank : told) {
    for (const auto& [phase, phase_s] : rank.at("phase_s").get<std::map<std::string, double>>()) {
      sample.phase_s[phase] = std::max(sample.phase_s[phase], phase_s);
    }
    const auto largest = [&](const char* name) {
      details[name] = std::max(details.value(name, 0.0), rank.at(name).get<double>());
    };
    for (const char* name : {"blocked_s", "staged_s", "memcpy_s", "cpu_s"}) largest(name);
    ratio = std::max(ratio, rank.at("blocked_s").get<double>() / rank.at("memcpy_s").get<double>());
    sample.peak_bytes = std::max(sample.peak_bytes, rank.at("peak_bytes").get<std::uint64_t>());
  }
  mpi::run_on_root(comm_, "report", [&] {
    details["blocked_of_memcpy"] = ratio;
    details["publish_s"] = store::read_history(checkpointer_.directory()).back().at("publish_s");
  });
  return sample;
}

void AsyncContender::clean_up() {
  mpi::run_on_root(comm_, "clean up", [&] {
    posix::remove(file_);
    posix::sync_directory(file_.parent_path());
  });
}

}  // namespace muster::bench
