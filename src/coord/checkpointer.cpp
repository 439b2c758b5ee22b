#include <fmt/format.h>

#include <bit>
#include <muster/checkpoint.hpp>
#include <utility>

#include "coord/exchange.hpp"
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
  const auto& grid = options.grid;
  if (grid.tensor != 1 || grid.pipeline != 1 || grid.expert != 1) {
    throw Error(ErrorKind::usage, "this version saves replicas only: tensor, pipeline and expert degrees must be 1");
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
        saver_(team_, directory_, options,
               coord::Engines{engine::make_direct_engine(arena_), engine::make_collective_engine()}),
        loader_(team_, directory_, arena_) {
    coord::require_same(team_.comm, "agree", "the directory", "'" + directory_.path().string() + "'");
  }

  // Runs one collective call. After a deadline has passed the ranks are no longer in step: the communicator, which may
  // have operations in flight for ever, is never used or freed again.
  template <class Call>
  auto run(Call&& call) {
    if (lost_) {
      throw Error(ErrorKind::timeout,
                  "an earlier call of this Checkpointer left the ranks out of step; make a new one");
    }
    mpi::require_usable(team_.comm.handle());
    try {
      return call(saver_, loader_);
    } catch (const CollectiveError&) {
      throw;
    } catch (...) {
      // A deadline that passed, or what this rank alone met outside of any phase: it is out of step.
      lost_ = true;
      comm_.abandon();
      throw;
    }
  }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }

 private:
  coord::Team gather_team(const CheckpointerOptions& options) {
    const auto view = comm_.view(options.timeout_s);
    mpi::run_agreed(view, "agree", [&] { check_options(options); });
    coord::require_same(view, "agree", "the options",
                        fmt::format("alignment_bytes={} data={}", options.alignment_bytes, options.grid.data));
    auto nodes = mpi::node_of_ranks(view);
    auto grid = mpi::run_agreed(view, "agree", [&] { return resolve(options.grid, view.size()); });
    return {view, std::move(nodes), grid};
  }

  bool lost_ = false;
  mpi::Comm comm_;
  coord::Team team_;
  store::Directory directory_;
  engine::StagingArena arena_;
  coord::Saver saver_;
  coord::Loader loader_;
};

Checkpointer::Checkpointer(MPI_Comm comm, std::filesystem::path directory, CheckpointerOptions options)
    : impl_(std::make_unique<Impl>(comm, std::move(directory), options)) {}
Checkpointer::~Checkpointer() = default;
Checkpointer::Checkpointer(Checkpointer&&) noexcept = default;
Checkpointer& Checkpointer::operator=(Checkpointer&&) noexcept = default;

SaveReport Checkpointer::save(const State& state, const SaveOptions& options) {
  const auto describe = [&]() -> const State& { return state; };
  return impl_->run([&](auto& saver, auto&) { return saver.save(describe, options); });
}

SaveReport Checkpointer::save(const Describe& describe, const SaveOptions& options) {
  State state;
  const auto describe_here = [&]() -> const State& { return state = describe(); };
  return impl_->run([&](auto& saver, auto&) { return saver.save(describe_here, options); });
}

LoadReport Checkpointer::load(const LoadOptions& options, const Prepare& prepare) {
  return impl_->run([&](auto&, auto& loader) { return loader.load(options, prepare); });
}

LoadReport Checkpointer::load(const LoadOptions& options, const LoadTarget& target) {
  return load(options, [&](const CheckpointContents&) { return target; });
}

std::optional<std::string> Checkpointer::latest_tag() {
  return impl_->run([](auto&, auto& loader) { return loader.latest_tag(); });
}

void Checkpointer::finalize() {}

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
