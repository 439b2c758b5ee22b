#pragma once
// The save of the engine `direct` with hashing left out: what hashing costs, and nothing else. Its files fail
// verification, so that it is here and not among the options of muster.

#include <filesystem>
#include <muster/checkpoint.hpp>

#include "engine/staging_arena.hpp"
#include "mpi/comm.hpp"
#include "mpi/team.hpp"
#include "save/saver.hpp"
#include "store/directory.hpp"

namespace muster::bench {

class UnhashedCheckpointer {
 public:
  // Collective.
  UnhashedCheckpointer(const mpi::CommView& comm, const std::filesystem::path& directory);
  UnhashedCheckpointer(const UnhashedCheckpointer&) = delete;
  UnhashedCheckpointer& operator=(const UnhashedCheckpointer&) = delete;
  // Collective; as Checkpointer::save.
  SaveReport save(const State& state, const SaveOptions& options);

 private:
  mpi::Comm comm_;
  mpi::Team team_;
  store::Directory directory_;
  engine::StagingArena arena_;
  store::Heartbeats heartbeats_;
  store::Ownership ownership_{directory_.path(), store::this_owner(), false};  // rank 0 alone makes use of it
  save::Saver saver_;
};

}  // namespace muster::bench
