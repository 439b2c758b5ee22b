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

}  // namespace

Ranks::Ranks(const mpi::CommView& world, const Grid& grid)
    : world_(world),
      grid_(agreed_grid(world, grid)),
      tensor_owner_(world.handle(), grid_, {Axis::tensor}),
      pipeline_owner_(world.handle(), grid_, {Axis::pipeline}),
      data_owner_(world.handle(), grid_, {Axis::data}),
      tensor_(tensor_owner_.handle(), world.timeout_s()),
      pipeline_(pipeline_owner_.handle(), world.timeout_s()),
      data_(data_owner_.handle(), world.timeout_s()) {}

}  // namespace muster::train
