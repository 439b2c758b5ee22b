#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <muster/checkpoint.hpp>
#include <string_view>
#include <utility>

#include "api/option_texts.hpp"
#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/hash.hpp"
#include "load/loader.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "mpi/exchange.hpp"
#include "mpi/info.hpp"
#include "mpi/team.hpp"
#include "save/save_handle.hpp"
#include "save/saver.hpp"

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
  if (options.retention.newest && *options.retention.newest < 1) {
    throw Error(ErrorKind::usage, fmt::format("retention.newest (num_kept_ckpts) is {}; it must be at least 1",
                                              *options.retention.newest));
  }
  mpi::check_hints(options.hints);
}

// Collective.
void require_same_options(const mpi::CommView& comm, const CheckpointerOptions& options) {
  const auto texts = api::option_texts(options);
  std::string all;
  for (const auto& [name, value] : texts) all += name + "=" + value + ";";
  const auto hash = hash_bytes(as_bytes(all));
  std::array<std::uint64_t, 2> hashes{hash, ~hash};
  comm.all_min(hashes);
  if (hashes[0] == ~hashes[1]) return;
  for (const auto& [name, value] : texts) mpi::require_same(comm, "agree", "the option " + name, value);
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
        heartbeats_(directory_.path(), job_id(), team_.comm.rank(), team_.comm.size()),
        ownership_(make_ownership(options)),
        options_(with_degrees(options)),
        loader_(team_, directory_, buffer_cache_),
        saver_(team_, directory_, ownership_.get(), options_, heartbeats_) {
    mpi::require_same(team_.comm, "agree", "the directory", "'" + directory_.path().string() + "'");
  }

  ~Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  SaveReport save(const save::Saver::Describe& describe, const SaveOptions& options) {
    return begin(describe, options, false).report();
  }

  SaveHandle begin(const save::Saver::Describe& describe, const SaveOptions& options, bool is_async) {
    return run([&] {
      SaveHandle handle;
      auto begun = saver_.save(describe, options, is_async);
      if (begun) handle.impl_ = std::make_shared<SaveHandle::Impl>(SaveHandle::Impl{std::move(*begun)});
      return handle;
    });
  }

  LoadReport load(const LoadOptions& options, const Prepare& prepare) {
    return run([&] {
      saver_.complete("load");
      return loader_.load(options, prepare);
    });
  }

  std::optional<std::string> latest_tag() {
    return run([&] {
      saver_.complete("latest_tag");
      return loader_.latest_tag();
    });
  }

  void own() {
    run([&] {
      saver_.complete("own");
      saver_.own();
    });
  }

  void finalize() {
    run([&] { saver_.complete("finalize"); });
  }

  bool poll() { return saver_.poll(); }

  [[nodiscard]] DescribeContext context(const SaveOptions& options) const {
    return {team_.comm.rank(), team_.comm.size(), options_.grid, options.async.overlap_staging};
  }

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }
  [[nodiscard]] const CheckpointerOptions& options() const { return options_; }

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

  mpi::Team gather_team(const CheckpointerOptions& options) {
    // A deadline that makes no sense would pass before the ranks have agreed on saying so.
    const auto view = comm_.view(options.timeout_s > 0 ? options.timeout_s : CheckpointerOptions{}.timeout_s);
    mpi::run_agreed(view, "agree", [&] {
      check_options(options);
      resolve(options.grid, view.size());
    });
    require_same_options(view, options);
    auto nodes = mpi::node_of_ranks(view);
    return {view, std::move(nodes)};
  }

  // With the grid's data degree computed.
  CheckpointerOptions with_degrees(CheckpointerOptions options) const {
    options.grid = resolve(options.grid, team_.comm.size());
    return options;
  }

  // Null but on rank 0.
  std::unique_ptr<store::Ownership> make_ownership(const CheckpointerOptions& options) const {
    if (!team_.is_root()) return nullptr;
    const char* requested = std::getenv("MUSTER_TAKE_OVER");
    const bool take_over = options.take_over || (requested != nullptr && std::string_view(requested) == "1");
    return std::make_unique<store::Ownership>(directory_.path(), store::this_owner(), take_over);
  }

  // Tells this job's lines on the progress board from others'.
  std::uint64_t job_id() const {
    auto id = static_cast<std::uint64_t>(unix_ns());
    team_.comm.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    return id;
  }

  bool lost_ = false;
  mpi::Comm comm_;
  mpi::Team team_;
  store::Directory directory_;
  engine::ReadBufferCache buffer_cache_;
  store::Heartbeats heartbeats_;
  std::unique_ptr<store::Ownership> ownership_;  // outlives whatever saves
  const CheckpointerOptions options_;
  load::Loader loader_;
  save::Saver saver_;  // goes first
};

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

SaveReport Checkpointer::save(const StateSource& source, const SaveOptions& options) {
  return save([&] { return source.describe(impl_->context(options)); }, options);
}

SaveHandle Checkpointer::save_async(const StateSource& source, const SaveOptions& options) {
  return save_async([&] { return source.describe(impl_->context(options)); }, options);
}

bool Checkpointer::poll() { return impl_->poll(); }

LoadReport Checkpointer::load(const LoadOptions& options, const Prepare& prepare) {
  return impl_->load(options, prepare);
}

LoadReport Checkpointer::load(const LoadOptions& options, const LoadTarget& target) {
  return load(options, [&](const CheckpointContents&) { return target; });
}

LoadReport Checkpointer::load(const StateSource& source, const LoadOptions& options) {
  return load(options, [&](const CheckpointContents& contents) {
    const auto context = impl_->context({});
    return source.prepare(contents, {context.rank, context.ranks, options.grid.value_or(context.grid), options});
  });
}

std::optional<std::string> Checkpointer::latest_tag() { return impl_->latest_tag(); }

void Checkpointer::own() { impl_->own(); }

void Checkpointer::finalize() { impl_->finalize(); }

const CheckpointerOptions& Checkpointer::options() const { return impl_->options(); }

const std::filesystem::path& Checkpointer::directory() const { return impl_->directory(); }

}  // namespace muster
