#include "bench/unhashed_checkpointer.hpp"

#include "engine/collective.hpp"
#include "engine/direct.hpp"

namespace muster::bench {

UnhashedCheckpointer::UnhashedCheckpointer(const mpi::CommView& comm, const std::filesystem::path& directory)
    : comm_(mpi::Comm::duplicate(comm.handle())),
      team_{comm_.view(comm.timeout_s()), mpi::node_of_ranks(comm)},
      directory_(directory),
      heartbeats_(directory, 0, team_.comm.rank(), team_.comm.size()),
      saver_(team_, directory_, &ownership_, {},
             {engine::make_direct_engine(arena_, {.hash = false}), engine::make_collective_engine()}, heartbeats_) {}

SaveReport UnhashedCheckpointer::save(const State& state, const SaveOptions& options) {
  return saver_.save([&]() -> const State& { return state; }, options);
}

}  // namespace muster::bench
