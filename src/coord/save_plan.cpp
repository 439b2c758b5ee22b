#include "coord/save_plan.hpp"

#include <memory>

#include "model/shard_map.hpp"

namespace muster::coord {

engine::LocalShards local_shards(const SavePlan& plan, const State& state) {
  engine::LocalShards shards(plan.layout.datasets.size());
  for (std::size_t i = 0; i < state.tensors().size(); ++i) {
    const auto& [description, memory] = state.tensors()[i];
    const auto& [path, dtype, shape, shard] = description;
    const auto dataset = plan.dataset_of_tensor[i];
    const auto& tile = plan.layout.datasets[dataset].tile;
    const auto range = contiguous_range(shard, shape);
    if (!range || !tile.empty()) {
      shards[dataset] = {&memory, 0, 0, std::make_shared<const ShardMap>(StorageOrder(shape, tile), shard, dtype)};
      continue;
    }
    const auto item = item_bytes(dtype);
    shards[dataset] = {&memory, range->first * item, range->count * item, nullptr};
  }
  return shards;
}

}  // namespace muster::coord
