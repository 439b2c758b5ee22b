// Saves, on 4 ranks, one checkpoint for each kind of cut that docs/guide/sharding.md shows; scripts/draw-sharding draws
// what the files say. Every element is its own row-major number. Usage: sharding_sample DIRECTORY

#include <algorithm>
#include <deque>
#include <iostream>
#include <muster/muster.hpp>
#include <string>
#include <vector>

namespace {

using muster::Axis;
using muster::Shape;
using muster::Shard;

constexpr int kRanks = 4;

// This rank's parts of some tensors.
class Parts {
 public:
  void add(const std::string& key, const Shape& shape, const Shard& shard) {
    auto& values = values_.emplace_back(elements_of(shard, shape));
    state_.add(muster::object_path({"model", key}), muster::DType::float32, shape, values.data(), shard);
  }
  [[nodiscard]] const muster::State& state() const { return state_; }

 private:
  // Their numbers, in the order of the rank's memory.
  static std::vector<float> elements_of(const Shard& shard, const Shape& shape) {
    if (const auto range = muster::contiguous_range(shard, shape)) {
      std::vector<float> numbers;
      for (std::uint64_t i = 0; i < range->count; ++i) numbers.push_back(static_cast<float>(range->first + i));
      return numbers;
    }
    std::vector<float> numbers;
    for (const auto& box : shard.boxes()) append(box, shape, 0, 0, numbers);
    return numbers;
  }

  static void append(const muster::Box& box, const Shape& shape, std::size_t dim, std::uint64_t number,
                     std::vector<float>& to) {
    if (dim == shape.size()) {
      to.push_back(static_cast<float>(number));
      return;
    }
    for (std::uint64_t i = 0; i < box.shape[dim]; ++i) {
      append(box, shape, dim + 1, number * shape[dim] + box.offset[dim] + i, to);
    }
  }

  std::deque<std::vector<float>> values_;
  muster::State state_;
};

void save(const std::string& directory, const std::string& tag, const muster::Grid& grid, const Parts& parts) {
  muster::Checkpointer checkpointer(MPI_COMM_WORLD, directory, {.grid = grid});
  checkpointer.save(parts.state(), {.tag = tag});
}

// One tensor, cut over all ranks.
void save_one(const std::string& directory, const std::string& tag, const Shape& shape, const Shard& shard) {
  Parts parts;
  parts.add("weight", shape, shard);
  save(directory, tag, {}, parts);
}

void save_experts(const std::string& directory, int rank) {
  const muster::Grid grid{.tensor = 2, .expert = 2};
  const muster::ParallelGrid placements(grid, kRanks);
  const Shape shape{4, 6, 5};
  auto box = muster::split(shape, 1, placements.coordinate(rank, Axis::tensor), 2).boxes().front();
  const auto experts = muster::chunk(shape[0], placements.coordinate(rank, Axis::expert), 2);
  box.offset[0] = experts.first;
  box.shape[0] = experts.count;
  Parts parts;
  parts.add("experts", shape, Shard::block(box.offset, box.shape));
  save(directory, "experts", grid, parts);
}

void save_pipeline(const std::string& directory, int rank) {
  const muster::Grid grid{.tensor = 2, .pipeline = 2};
  const muster::ParallelGrid placements(grid, kRanks);
  const auto layers = muster::chunk(4, placements.coordinate(rank, Axis::pipeline), 2);
  Parts parts;
  for (auto layer = layers.first; layer < layers.first + layers.count; ++layer) {
    const Shape shape{4, 6};
    parts.add("layers." + std::to_string(layer), shape,
              muster::split(shape, 0, placements.coordinate(rank, Axis::tensor), 2));
  }
  save(directory, "pipeline", grid, parts);
}

// ZeRO-1 beside tensor parallelism: each rank keeps the optimizer's state of half of the rows of its columns.
void save_zero(const std::string& directory, int rank) {
  const muster::Grid grid{.tensor = 2, .data = 2};
  const muster::ParallelGrid placements(grid, kRanks);
  const Shape shape{8, 12};
  auto box = muster::split(shape, 1, placements.coordinate(rank, Axis::tensor), 2).boxes().front();
  const auto rows = muster::chunk(shape[0], placements.coordinate(rank, Axis::data), 2);
  box.offset[0] = rows.first;
  box.shape[0] = rows.count;
  Parts parts;
  parts.add("exp_avg", shape, Shard::block(box.offset, box.shape));
  save(directory, "zero", grid, parts);
}

int run(const std::string& directory) {
  int ranks = 0;
  int rank = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (ranks != kRanks) {
    std::cerr << "sharding_sample: needs 4 ranks\n";
    return 2;
  }
  save_one(directory, "whole", {16, 4096}, Shard::whole());
  save_one(directory, "column", {8, 12}, muster::split({8, 12}, 0, rank, ranks));
  save_one(directory, "row", {8, 15}, muster::split({8, 15}, 1, rank, ranks));
  save_one(directory, "vocabulary", {10, 8}, muster::split({10, 8}, 0, rank, ranks));
  save_one(directory, "fused", {16, 6}, muster::split_fused({16, 6}, {8, 4, 4}, rank, ranks));
  save_one(directory, "flat", {7, 10}, muster::split_flat({7, 10}, rank, ranks));
  save_zero(directory, rank);
  save_experts(directory, rank);
  save_pipeline(directory, rank);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: sharding_sample DIRECTORY\n";
    return 2;
  }
  MPI_Init(&argc, &argv);
  const int code = run(argv[1]);
  MPI_Finalize();
  return code;
}
