// Saves a small model of four layers as its ranks hold it in a tensor-parallel job, or loads it in any grid and prints
// as JSON how many bytes each rank read, and how many its buffers had. With masters in place of weights the model is
// bfloat16, and loaded with ZeRO-1.
// Usage: grid_load save DIR weights|masters | grid_load load DIR TP PP replicated|zero1|masters RULE...

#include <mpi.h>

#include <cstdlib>
#include <iostream>
#include <list>
#include <map>
#include <muster/muster.hpp>
#include <muster/rules.hpp>
#include <muster/sharding.hpp>
#include <string>
#include <vector>

namespace {

using muster::Shape;

constexpr int kLayers = 4;

struct Parameter {
  std::string key;
  Shape shape;
  int layer = 0;
};

std::vector<Parameter> parameters() {
  std::vector<Parameter> all{{"embedding.weight", {2048, 256}, 0}};
  for (int layer = 0; layer < kLayers; ++layer) {
    const auto prefix = "blocks." + std::to_string(layer) + ".";
    all.push_back({prefix + "qkv.weight", {768, 256}, layer});
    all.push_back({prefix + "qkv.bias", {768}, layer});
    all.push_back({prefix + "out.weight", {256, 256}, layer});
    all.push_back({prefix + "norm.weight", {256}, layer});
  }
  all.push_back({"head.weight", {2048, 256}, kLayers - 1});
  return all;
}

// Shards with memory behind them.
struct Owner {
  muster::State state;
  std::list<std::vector<float>> memory;
  std::map<std::string, std::string> made_from;
  void add(const std::string& path, const Shape& shape, muster::Shard shard,
           muster::DType dtype = muster::DType::float32) {
    memory.emplace_back(muster::element_count(shape), 1.0F);  // room enough for any part
    state.add_mutable(path, dtype, shape, memory.back().data(), std::move(shard));
  }
};

enum class Use { save, load };

std::uint64_t rows_of(const muster::Shard& shard, const Shape& shape) {
  std::uint64_t rows = shard.boxes().empty() ? shape.front() : 0;
  for (const auto& box : shard.boxes()) rows += box.shape.front();
  return rows;
}

void fill(Owner& holder, const muster::ParallelGrid& grid, int rank, const std::vector<muster::ShardingRule>& rules,
          Use use, bool zero1, bool masters) {
  const auto stages = grid.degree(muster::Axis::pipeline);
  for (const auto& [key, shape, layer] : parameters()) {
    if (layer * stages / kLayers != grid.coordinate(rank, muster::Axis::pipeline)) continue;
    const auto shard = muster::shard_of(rules, key, shape, grid, rank);
    const auto parameter = muster::object_path({"model", key});
    const auto master = muster::object_path({"optimizer", key, "master"});
    if (!masters) {
      holder.add(parameter, shape, shard);
    } else if (use == Use::load) {
      holder.add(parameter, shape, shard, muster::DType::bfloat16);
      holder.made_from[parameter] = master;
    }
    auto moment = shard;
    if (zero1) {
      // The chunk of the rows of what this rank holds.
      const auto columns = shard.boxes().empty() ? muster::element_count(shape) / shape.front()
                                                 : muster::element_count(shard.boxes().front().shape) /
                                                       shard.boxes().front().shape.front();
      const auto [first, count] = muster::chunk(rows_of(shard, shape), grid.coordinate(rank, muster::Axis::data),
                                                grid.degree(muster::Axis::data));
      moment = muster::part_of(shape, shard, {first * columns, count * columns});
    }
    if (masters) holder.add(master, shape, moment);
    holder.add(muster::object_path({"optimizer", key, "exp_avg"}), shape, moment);
  }
}

int run(const std::vector<std::string>& arguments) {
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  Owner holder;
  if (arguments.at(0) == "save") {
    const std::vector<muster::ShardingRule> rules{muster::row_parallel("*.out.*"),
                                                  muster::fused_column_parallel("*.qkv.*", 3),
                                                  muster::vocabulary_parallel("embedding.*")};
    fill(holder, muster::ParallelGrid({.tensor = ranks}, ranks), rank, rules, Use::save, false,
         arguments.at(2) == "masters");
    muster::save_checkpoint(MPI_COMM_WORLD, arguments.at(1), holder.state, {.tag = "step_1"});
    return 0;
  }
  const muster::ParallelGrid grid(
      {.tensor = std::atoi(arguments.at(2).c_str()), .pipeline = std::atoi(arguments.at(3).c_str())}, ranks);
  std::vector<muster::ShardingRule> rules;
  for (std::size_t i = 5; i < arguments.size(); ++i) rules.push_back(muster::parse_rule(arguments[i]));
  const bool masters = arguments.at(4) == "masters";
  fill(holder, grid, rank, rules, Use::load, masters || arguments.at(4) == "zero1", masters);
  muster::LoadTarget target;
  target.state = holder.state;
  target.made_from = holder.made_from;
  target.sections = {"model", "optimizer"};
  const auto report = muster::load_checkpoint(MPI_COMM_WORLD, arguments.at(1), target);
  const auto gathered = [&](unsigned long long mine) {
    std::vector<unsigned long long> all(static_cast<std::size_t>(ranks));
    MPI_Gather(&mine, 1, MPI_UNSIGNED_LONG_LONG, all.data(), 1, MPI_UNSIGNED_LONG_LONG, 0, MPI_COMM_WORLD);
    return all;
  };
  const nlohmann::json told{{"read_bytes", gathered(report.read_bytes)},
                            {"buffer_bytes", gathered(report.buffer_bytes)}};
  if (rank == 0) std::cout << told.dump() << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int code = run({argv + 1, argv + argc});
  MPI_Finalize();
  return code;
}
