#pragma once
// Loading, phase by phase: find, prepare, check, read, commit.

#include <muster/checkpoint.hpp>
#include <optional>
#include <string>

#include "engine/read_buffer_cache.hpp"
#include "mpi/team.hpp"
#include "store/directory.hpp"

namespace muster::load {

class Loader {
 public:
  Loader(const mpi::Team& team, store::Directory& directory, engine::ReadBufferCache& buffer_cache)
      : team_(team), directory_(directory), buffer_cache_(buffer_cache) {}

  // Collective; see Checkpointer::load.
  LoadReport load(const LoadOptions& options, const Checkpointer::Prepare& prepare);
  // Collective; see Checkpointer::latest_tag.
  std::optional<std::string> latest_tag();

 private:
  LoadReport load_tag(const std::string& tag, const LoadOptions& options, const Checkpointer::Prepare& prepare);
  void warn_of(const std::filesystem::path& file, const std::vector<std::string>& skipped) const;

  const mpi::Team& team_;
  store::Directory& directory_;
  engine::ReadBufferCache& buffer_cache_;
};

}  // namespace muster::load
