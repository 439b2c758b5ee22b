#include <fmt/format.h>

#include <muster/error.hpp>
#include <muster/grid.hpp>

namespace muster {

Grid resolve(const Grid& grid, int world_size) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorKind::usage, fmt::format("grid tensor={} pipeline={} data={} expert={} on {} ranks: {}",
                                              grid.tensor, grid.pipeline, grid.data, grid.expert, world_size, why));
  };
  if (grid.tensor < 1 || grid.pipeline < 1 || grid.expert < 1 || grid.data < 0) refuse("degrees must be positive");
  const long long model = static_cast<long long>(grid.tensor) * grid.pipeline * grid.expert;
  Grid resolved = grid;
  if (grid.data == 0) {
    if (world_size % model != 0) refuse("the degrees do not divide the number of ranks");
    resolved.data = static_cast<int>(world_size / model);
  }
  if (model * resolved.data != world_size) refuse("the product of the degrees is not the number of ranks");
  return resolved;
}

}  // namespace muster
