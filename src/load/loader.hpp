#pragma once
// Loading, phase by phase: find, prepare, check, read, commit.

#include <muster/checkpoint.hpp>
#include <optional>
#include <string>

#include "engine/staging_arena.hpp"
#include "mpi/team.hpp"
#include "store/directory.hpp"

namespace muster::load {

class Loader {
 public:
  Loader(const mpi::Team& team, store::Directory& directory, engine::StagingArena& arena)
      : team_(team), directory_(directory), arena_(arena) {}

  // Collective; see Checkpointer::load.
  LoadReport load(const LoadOptions& options, const Checkpointer::Prepare& prepare);
  // Collective; see Checkpointer::latest_tag.
  std::optional<std::string> latest_tag();

 private:
  LoadReport load_tag(const std::string& tag, const LoadOptions& options, const Checkpointer::Prepare& prepare);
  void warn_of(const std::filesystem::path& file, const std::vector<std::string>& skipped) const;

  const mpi::Team& team_;
  store::Directory& directory_;
  engine::StagingArena& arena_;
};

}  // namespace muster::load
