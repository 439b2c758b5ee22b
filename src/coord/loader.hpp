#pragma once
// Loading, phase by phase: find, prepare, check, read, commit.

#include <muster/checkpoint.hpp>
#include <optional>
#include <string>

#include "coord/team.hpp"
#include "store/directory.hpp"

namespace muster::coord {

class Loader {
 public:
  Loader(const Team& team, store::Directory& directory) : team_(team), directory_(directory) {}

  // Collective; see Checkpointer::load.
  LoadReport load(const LoadOptions& options, const Checkpointer::Prepare& prepare);
  // Collective; see Checkpointer::latest_tag.
  std::optional<std::string> latest_tag();

 private:
  LoadReport load_tag(const std::string& tag, const LoadOptions& options, const Checkpointer::Prepare& prepare);

  const Team& team_;
  store::Directory& directory_;
};

}  // namespace muster::coord
