#include "save/async_saver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/available_memory.hpp"
#include "base/clock.hpp"
#include "base/hash.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "mpi/exchange.hpp"
#include "save/exit_guard.hpp"

namespace muster::save {

namespace {

void check_async_options(const SaveOptions& options, bool gives_handle) {
  const auto& async = options.async;
  if (options.engine == EngineChoice::collective) {
    throw Error(ErrorKind::usage,
                "async saves need the engine direct: parallel HDF5 cannot write while the program goes on");
  }
  if (async.overlap_staging && !gives_handle) {
    throw Error(ErrorKind::usage,
                "overlap_staging needs the handle of save_async, to wait for before the state changes");
  }
  if (async.max_in_flight < 1) {
    throw Error(ErrorKind::usage, fmt::format("max_in_flight is {}; it must be at least 1", async.max_in_flight));
  }
  constexpr std::uint64_t kLeastStaging = 2 * engine::StagingPool::kBufferBytes;
  if (async.staging_limit_bytes != 0 && async.staging_limit_bytes < kLeastStaging) {
    throw Error(ErrorKind::usage, fmt::format("staging_limit_bytes is {}; it must be at least {}, or 0",
                                              async.staging_limit_bytes, kLeastStaging));
  }
}

}  // namespace

AsyncSaver::~AsyncSaver() {
  if (background_) background_->shut_down();
}

void AsyncSaver::complete() {
  if (!background_) return;
  background_->throw_if_lost();
  background_->drain();
  throw_failures();
}

// Collective. What a save in the background failed with, on all ranks the same, each once: some ranks may know of it
// already, and others be about to.
void AsyncSaver::throw_failures() {
  constexpr auto kNone = std::numeric_limits<std::uint64_t>::max();
  // A rank that is out of step says so by a deadline, not by an agreement.
  background_->throw_if_lost();
  std::array<std::uint64_t, 1> first{background_->first_failure()};
  team_.comm.all_min(first);
  if (first[0] != kNone) background_->throw_failure(first[0]);
}

void AsyncSaver::agree_on(const SaveOptions& options, bool gives_handle) const {
  const auto& comm = team_.comm;
  mpi::run_agreed(comm, "agree", [&] { check_async_options(options, gives_handle); });
  // What the ranks decide by must be the same before they decide.
  const auto& async = options.async;
  const auto text = fmt::format("tag={} max_in_flight={} when_busy={} overlap_staging={} write_limit_bytes_per_s={}",
                                options.tag, async.max_in_flight, static_cast<int>(async.when_busy),
                                async.overlap_staging, async.write_limit_bytes_per_s);
  const auto hash = hash_bytes(as_bytes(text));
  std::array<std::uint64_t, 2> hashes{hash, ~hash};
  comm.all_min(hashes);
  if (hashes[0] != ~hashes[1]) mpi::require_same(comm, "agree", "the options of the async save", text);
}

void AsyncSaver::prepare(const AsyncOptions& options) {
  const auto& comm = team_.comm;
  if (!background_) {
    int level = MPI_THREAD_SINGLE;
    mpi::check(MPI_Query_thread(&level), "MPI_Query_thread");
    std::array<std::uint64_t, 1> multiple{level == MPI_THREAD_MULTIPLE ? 1U : 0U};
    comm.all_min(multiple);
    background_ = mpi::run_agreed(comm, "agree", [&] {
      return std::make_shared<BackgroundSaves>(team_, directory_, heartbeats_, multiple[0] == 1);
    });
    wait_at_exit(background_);
  }
  const auto limit = options.staging_limit_bytes != 0 ? options.staging_limit_bytes : default_limit_bytes();
  background_->pool().set_limit(limit / engine::StagingPool::kBufferBytes);
}

// As first found: what the saves hold then is no longer available.
std::uint64_t AsyncSaver::default_limit_bytes() {
  if (default_limit_bytes_ == 0) {
    const auto node = team_.node_of_rank[static_cast<std::size_t>(team_.comm.rank())];
    const auto here = static_cast<std::uint64_t>(std::ranges::count(team_.node_of_rank, node));
    constexpr std::uint64_t kWhereUnknown = std::uint64_t{1} << 30;
    default_limit_bytes_ = available_memory_bytes().value_or(2 * here * kWhereUnknown) / 2 / here;
  }
  return default_limit_bytes_;
}

bool AsyncSaver::make_room(const SaveOptions& options) {
  const auto most = static_cast<std::size_t>(options.async.max_in_flight);
  if (options.async.when_busy == WhenBusy::wait) {
    background_->wait_until_fewer_than(most, options.tag);
    throw_failures();
    return true;
  }
  background_->poll();
  throw_failures();
  std::array<std::uint64_t, 1> room{background_->in_flight() < most ? 1U : 0U};
  team_.comm.all_min(room);
  if (room[0] == 0 && options.async.when_busy == WhenBusy::skip) return false;
  if (room[0] == 0) {
    mpi::run_agreed(team_.comm, "agree", [&] {
      throw Error(ErrorKind::busy, fmt::format("{} was not begun: {} in flight already", options.tag, most));
    });
  }
  background_->wait_until_fewer_than(most, options.tag);
  return true;
}

std::optional<BegunSave> AsyncSaver::begin(const Saver::Describe& describe, SaveOptions options, bool gives_handle) {
  options.async_save = true;
  const Stopwatch watch;
  if (background_) background_->throw_if_lost();
  agree_on(options, gives_handle);
  prepare(options.async);
  if (!make_room(options)) return std::nullopt;
  BegunSave begun{.saves = background_};
  auto save = saver_.begin(describe, options, background_->pool());
  if (!save) {
    options.async_save = false;
    background_->drain();
    throw_failures();
    begun.report = saver_.save(describe, options);
    begun.report.warnings.push_back("saved by the call itself: async saves need the engine direct, and " +
                                    begun.report.engine_reason);
    return begun;
  }
  save->called = watch;
  background_->start(save);
  begun.save = std::move(save);
  return begun;
}

}  // namespace muster::save
