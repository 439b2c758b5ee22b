#include "train/ranks.hpp"

#include <optional>

#include "train/collectives.hpp"

namespace muster::train {
namespace {

ParallelGrid agreed_grid(const mpi::CommView& world, const Grid& grid) {
  std::optional<ParallelGrid> agreed;
  together(world, [&] { agreed.emplace(grid, world.size()); });
  return *agreed;
}

mpi::Comm group(const mpi::CommView& world, const ParallelGrid& grid, Axis axis) {
  return mpi::Comm::split(world.handle(), grid.group_number(world.rank(), {axis}), grid.coordinate(world.rank(), axis));
}

}  // namespace

Ranks::Ranks(const mpi::CommView& world, const Grid& grid)
    : world_(world),
      grid_(agreed_grid(world, grid)),
      tensor_owner_(group(world, grid_, Axis::tensor)),
      pipeline_owner_(group(world, grid_, Axis::pipeline)),
      data_owner_(group(world, grid_, Axis::data)),
      tensor_(tensor_owner_.view(world.timeout_s())),
      pipeline_(pipeline_owner_.view(world.timeout_s())),
      data_(data_owner_.view(world.timeout_s())) {}

}  // namespace muster::train
