#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <muster/checkpoint.hpp>
#include <utility>

#include "base/available_memory.hpp"
#include "base/clock.hpp"
#include "base/hash.hpp"
#include "coord/background_saves.hpp"
#include "coord/exchange.hpp"
#include "coord/exit_guard.hpp"
#include "coord/loader.hpp"
#include "coord/saver.hpp"
#include "coord/team.hpp"
#include "engine/collective.hpp"
#include "engine/direct.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"

namespace muster {

namespace {

void check_options(const CheckpointerOptions& options) {
  constexpr std::uint64_t kMinAlignment = 512;
  constexpr std::uint64_t kMaxAlignment = std::uint64_t{64} << 20;
  const auto alignment = options.alignment_bytes;
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    throw Error(ErrorKind::usage,
                fmt::format("alignment_bytes is {}; it must be a power of two from 512 to 64 MiB", alignment));
  }
  if (!(options.timeout_s > 0)) {
    throw Error(ErrorKind::usage, fmt::format("timeout_s is {}; it must be positive", options.timeout_s));
  }
}

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

std::filesystem::path checked(std::filesystem::path directory) {
  if (directory.empty()) throw Error(ErrorKind::usage, "the directory has no name");
  return directory;
}

mpi::Comm duplicate_checked(MPI_Comm comm) {
  mpi::require_usable(comm);
  return mpi::Comm::duplicate(comm);
}

}  // namespace

class Checkpointer::Impl {
 public:
  Impl(MPI_Comm comm, std::filesystem::path directory, const CheckpointerOptions& options)
      : comm_(duplicate_checked(comm)),
        team_(gather_team(options)),
        directory_(mpi::run_agreed(team_.comm, "agree", [&] { return checked(std::move(directory)); })),
        board_(directory_.path(), job_id(), team_.comm.rank(), team_.comm.size()),
        saver_(team_, directory_, options,
               coord::Engines{engine::make_direct_engine(arena_), engine::make_collective_engine()}, board_),
        loader_(team_, directory_, arena_) {
    coord::require_same(team_.comm, "agree", "the directory", "'" + directory_.path().string() + "'");
  }

  ~Impl() {
    if (background_) background_->shut_down();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  SaveReport save(const coord::Saver::Describe& describe, const SaveOptions& options) {
    if (options.async_save) return begin(describe, options, false).report();
    return run([&] {
      complete_in_flight();
      return saver_.save(describe, options);
    });
  }

  // gives_handle: whether the caller gets to see it.
  SaveHandle begin(const coord::Saver::Describe& describe, SaveOptions options, bool gives_handle);

  LoadReport load(const LoadOptions& options, const Prepare& prepare) {
    return run([&] {
      complete_in_flight();
      return loader_.load(options, prepare);
    });
  }

  std::optional<std::string> latest_tag() {
    return run([&] {
      complete_in_flight();
      return loader_.latest_tag();
    });
  }

  void finalize() {
    run([&] { complete_in_flight(); });
  }

  bool poll() { return background_ && background_->poll(); }

 private:
  // Runs one collective call. After a deadline has passed the ranks are no longer in step: the communicator, which may
  // have operations in flight for ever, is never used or freed again.
  template <class Call>
  std::invoke_result_t<Call&> run(Call&& call) {
    if (lost_) {
      throw Error(ErrorKind::timeout,
                  "an earlier call of this Checkpointer left the ranks out of step; make a new one");
    }
    mpi::require_usable(team_.comm.handle());
    try {
      return call();
    } catch (const CollectiveError&) {
      throw;
    } catch (...) {
      // A deadline that passed, or what this rank alone met outside of any phase: it is out of step.
      lost_ = true;
      comm_.abandon();
      throw;
    }
  }

  // Collective.
  void complete_in_flight() {
    if (!background_) return;
    background_->throw_if_lost();
    background_->drain();
    throw_failures();
  }

  // Collective. Throws what a save in the background failed with, on all ranks the same, each once: some ranks may know
  // of it already, and others be about to.
  void throw_failures() {
    constexpr auto kNone = std::numeric_limits<std::uint64_t>::max();
    // A rank that is out of step says so by a deadline, not by an agreement.
    background_->throw_if_lost();
    std::array<std::uint64_t, 1> first{background_->first_failure()};
    team_.comm.all_min(first);
    if (first[0] != kNone) background_->throw_failure(first[0]);
  }

  // Collective.
  void agree_on(const SaveOptions& options, bool gives_handle) const;
  void prepare_background(const AsyncOptions& options);
  // Collective. False where the save is to be skipped.
  bool make_room(const SaveOptions& options);

 public:
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }

 private:
  coord::Team gather_team(const CheckpointerOptions& options) {
    const auto view = comm_.view(options.timeout_s);
    mpi::run_agreed(view, "agree", [&] { check_options(options); });
    coord::require_same(view, "agree", "the options",
                        fmt::format("alignment_bytes={} grid={}", options.alignment_bytes, to_string(options.grid)));
    auto nodes = mpi::node_of_ranks(view);
    auto grid = mpi::run_agreed(view, "agree", [&] { return resolve(options.grid, view.size()); });
    return {view, std::move(nodes), grid};
  }

  // Tells this job's lines on the progress board from others'.
  std::uint64_t job_id() const {
    auto id = static_cast<std::uint64_t>(unix_ns());
    team_.comm.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    return id;
  }

  bool lost_ = false;
  mpi::Comm comm_;
  coord::Team team_;
  store::Directory directory_;
  engine::StagingArena arena_;
  std::uint64_t default_limit_bytes_ = 0;  // of staging memory; 0: not known yet
  store::ProgressBoard board_;
  coord::Saver saver_;
  coord::Loader loader_;
  std::shared_ptr<coord::BackgroundSaves> background_;  // from the first save in the background on
};

class SaveHandle::Impl {
 public:
  std::shared_ptr<coord::BackgroundSaves> saves;
  std::shared_ptr<coord::AsyncSave> save;  // null where the save was made by the call
  SaveReport report;                       // then
};

void Checkpointer::Impl::agree_on(const SaveOptions& options, bool gives_handle) const {
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
  if (hashes[0] != ~hashes[1]) coord::require_same(comm, "agree", "the options of the async save", text);
}

void Checkpointer::Impl::prepare_background(const AsyncOptions& options) {
  const auto& comm = team_.comm;
  if (!background_) {
    int level = MPI_THREAD_SINGLE;
    mpi::check(MPI_Query_thread(&level), "MPI_Query_thread");
    std::array<std::uint64_t, 1> multiple{level == MPI_THREAD_MULTIPLE ? 1U : 0U};
    comm.all_min(multiple);
    background_ = mpi::run_agreed(comm, "agree", [&] {
      return std::make_shared<coord::BackgroundSaves>(team_, directory_, board_, multiple[0] == 1);
    });
    coord::wait_at_exit(background_);
  }
  auto limit = options.staging_limit_bytes;
  if (limit == 0) {
    if (default_limit_bytes_ == 0) {
      const auto node = team_.node_of_rank[static_cast<std::size_t>(comm.rank())];
      const auto here = static_cast<std::uint64_t>(std::ranges::count(team_.node_of_rank, node));
      constexpr std::uint64_t kWhereUnknown = std::uint64_t{1} << 30;
      default_limit_bytes_ = available_memory_bytes().value_or(2 * here * kWhereUnknown) / 2 / here;
    }
    limit = default_limit_bytes_;
  }
  background_->pool().set_limit(limit / engine::StagingPool::kBufferBytes);
}

bool Checkpointer::Impl::make_room(const SaveOptions& options) {
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

SaveHandle Checkpointer::Impl::begin(const coord::Saver::Describe& describe, SaveOptions options, bool gives_handle) {
  options.async_save = true;
  return run([&] {
    const Stopwatch watch;
    if (background_) background_->throw_if_lost();
    agree_on(options, gives_handle);
    prepare_background(options.async);
    SaveHandle handle;
    if (!make_room(options)) return handle;
    handle.impl_ = std::make_shared<SaveHandle::Impl>();
    handle.impl_->saves = background_;
    auto save = saver_.begin(describe, options, background_->pool());
    if (!save) {
      options.async_save = false;
      background_->drain();
      throw_failures();
      handle.impl_->report = saver_.save(describe, options);
      handle.impl_->report.warnings.push_back("saved by the call itself: async saves need the engine direct, and " +
                                              handle.impl_->report.engine_reason);
      return handle;
    }
    save->called = watch;
    background_->start(save);
    handle.impl_->save = std::move(save);
    return handle;
  });
}

Checkpointer::Checkpointer(MPI_Comm comm, std::filesystem::path directory, CheckpointerOptions options)
    : impl_(std::make_unique<Impl>(comm, std::move(directory), options)) {}
Checkpointer::~Checkpointer() = default;
Checkpointer::Checkpointer(Checkpointer&&) noexcept = default;
Checkpointer& Checkpointer::operator=(Checkpointer&&) noexcept = default;

SaveReport Checkpointer::save(const State& state, const SaveOptions& options) {
  return impl_->save([&]() -> const State& { return state; }, options);
}

SaveReport Checkpointer::save(const Describe& describe, const SaveOptions& options) {
  State state;
  return impl_->save([&]() -> const State& { return state = describe(); }, options);
}

SaveHandle Checkpointer::save_async(const State& state, const SaveOptions& options) {
  return impl_->begin([&]() -> const State& { return state; }, options, true);
}

SaveHandle Checkpointer::save_async(const Describe& describe, const SaveOptions& options) {
  State state;
  return impl_->begin([&]() -> const State& { return state = describe(); }, options, true);
}

bool Checkpointer::poll() { return impl_->poll(); }

LoadReport Checkpointer::load(const LoadOptions& options, const Prepare& prepare) {
  return impl_->load(options, prepare);
}

LoadReport Checkpointer::load(const LoadOptions& options, const LoadTarget& target) {
  return load(options, [&](const CheckpointContents&) { return target; });
}

std::optional<std::string> Checkpointer::latest_tag() { return impl_->latest_tag(); }

void Checkpointer::finalize() { impl_->finalize(); }

void SaveHandle::wait_staged() {
  if (impl_ && impl_->save) impl_->save->wait_staged();
}

bool SaveHandle::done() {
  if (!impl_ || !impl_->save) return true;
  impl_->saves->poll();
  return impl_->save->ended();
}

SaveReport SaveHandle::wait() {
  if (impl_ && impl_->save) {
    impl_->saves->wait_for(*impl_->save);
    if (impl_->save->failure()) {
      impl_->saves->note_seen(impl_->save->job->number);
      std::rethrow_exception(impl_->save->failure());
    }
  }
  return report();
}

SaveReport SaveHandle::report() const {
  SaveReport report;
  report.skipped = !impl_;
  if (!impl_) return report;
  if (!impl_->save) return impl_->report;
  report = impl_->save->ended() ? impl_->save->job->report : impl_->save->begun;
  report.blocked_s = impl_->save->blocked_s;
  return report;
}

const std::filesystem::path& Checkpointer::directory() const { return impl_->directory(); }

const SavedTensor* CheckpointContents::find_tensor(const std::string& path) const {
  for (const auto& tensor : tensors) {
    if (tensor.path == path) return &tensor;
  }
  return nullptr;
}

const nlohmann::json* CheckpointContents::find_document(const std::string& path) const {
  const auto found = documents.find(path);
  return found == documents.end() ? nullptr : &found->second;
}

}  // namespace muster
