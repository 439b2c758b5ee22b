#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <muster/grid.hpp>

namespace muster {

namespace {

constexpr std::array<std::string_view, kAxes> kNames{"tp", "cp", "ep", "dp", "pp"};

std::array<int, kAxes> degrees_of(const Grid& grid) {
  return {grid.tensor, grid.context, grid.expert, grid.data, grid.pipeline};
}

[[noreturn]] void refuse(const Grid& grid, int world_size, const std::string& why) {
  throw Error(ErrorKind::usage, fmt::format("grid {} on {} ranks: {}", to_string(grid), world_size, why));
}

// Fastest first; axes that are not named come last, and have degree 1.
std::vector<std::size_t> axes_in_order(const Grid& grid, int world_size) {
  std::vector<std::size_t> axes;
  std::string_view rest = grid.order;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('-'), rest.size());
    const auto axis = static_cast<std::size_t>(std::ranges::find(kNames, rest.substr(0, end)) - kNames.begin());
    if (axis == kAxes) refuse(grid, world_size, "the order names no axis '" + std::string(rest.substr(0, end)) + "'");
    if (std::ranges::find(axes, axis) != axes.end()) {
      refuse(grid, world_size, "the order names " + std::string(kNames.at(axis)) + " twice");
    }
    axes.push_back(axis);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto degrees = degrees_of(grid);
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    if (std::ranges::find(axes, axis) != axes.end()) continue;
    if (degrees.at(axis) != 1) {
      refuse(grid, world_size, "the order leaves out " + std::string(kNames.at(axis)) + ", whose degree is not 1");
    }
    axes.push_back(axis);
  }
  return axes;
}

}  // namespace

std::string to_string(const Grid& grid) {
  const auto degrees = degrees_of(grid);
  std::string text;
  for (std::size_t axis = 0; axis < kAxes; ++axis) text += fmt::format("{}={} ", kNames.at(axis), degrees.at(axis));
  return text + "order=" + grid.order;
}

std::string_view name(Axis axis) { return kNames.at(static_cast<std::size_t>(axis)); }

Grid resolve(const Grid& grid, int world_size) {
  // At most the number of ranks each, so that no product overflows.
  long long model = 1;
  for (const int degree : {grid.tensor, grid.context, grid.expert, grid.pipeline}) {
    if (degree < 1 || grid.data < 0) refuse(grid, world_size, "degrees must be positive");
    model *= degree;
    if (model > world_size) refuse(grid, world_size, "the product of the degrees is more than the number of ranks");
  }
  Grid resolved = grid;
  if (grid.data == 0) {
    if (world_size % model != 0) refuse(grid, world_size, "the degrees do not divide the number of ranks");
    resolved.data = static_cast<int>(world_size / model);
  }
  if (model * resolved.data != world_size) {
    refuse(grid, world_size, "the product of the degrees is not the number of ranks");
  }
  axes_in_order(resolved, world_size);
  return resolved;
}

ParallelGrid::ParallelGrid(const Grid& grid, int world_size)
    : grid_(resolve(grid, world_size)), world_size_(world_size), degrees_(degrees_of(grid_)) {
  int stride = 1;
  for (const auto axis : axes_in_order(grid_, world_size)) {
    strides_.at(axis) = stride;
    stride *= degrees_.at(axis);
  }
}

int ParallelGrid::coordinate(int rank, Axis axis) const {
  if (rank < 0 || rank >= world_size_) {
    throw Error(ErrorKind::usage, fmt::format("rank {} is not one of {}", rank, world_size_));
  }
  const auto index = static_cast<std::size_t>(axis);
  return rank / strides_.at(index) % degrees_.at(index);
}

ParallelGrid::Coordinates ParallelGrid::coordinates(int rank) const {
  Coordinates all{};
  for (std::size_t axis = 0; axis < kAxes; ++axis) all.at(axis) = coordinate(rank, static_cast<Axis>(axis));
  return all;
}

int ParallelGrid::rank_at(const Coordinates& coordinates) const {
  int rank = 0;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    if (coordinates.at(axis) < 0 || coordinates.at(axis) >= degrees_.at(axis)) {
      throw Error(ErrorKind::usage,
                  fmt::format("{} {} is not one of {}", kNames.at(axis), coordinates.at(axis), degrees_.at(axis)));
    }
    rank += coordinates.at(axis) * strides_.at(axis);
  }
  return rank;
}

std::vector<int> ParallelGrid::group(int rank, std::initializer_list<Axis> axes) const {
  auto first = coordinates(rank);
  for (const auto axis : axes) first.at(static_cast<std::size_t>(axis)) = 0;
  std::vector<int> ranks{rank_at(first)};
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    if (std::ranges::find(axes, static_cast<Axis>(axis)) == axes.end()) continue;
    const auto known = ranks.size();
    for (int step = 1; step < degrees_.at(axis); ++step) {
      for (std::size_t i = 0; i < known; ++i) ranks.push_back(ranks[i] + step * strides_.at(axis));
    }
  }
  std::ranges::sort(ranks);
  return ranks;
}

int ParallelGrid::group_number(int rank, std::initializer_list<Axis> axes) const {
  int number = 0;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    if (std::ranges::find(axes, static_cast<Axis>(axis)) != axes.end()) continue;
    number = number * degrees_.at(axis) + coordinate(rank, static_cast<Axis>(axis));
  }
  return number;
}

}  // namespace muster
