#include "save/save_plan.hpp"

#include <memory>

#include "model/shard_map.hpp"

namespace muster::save {

engine::LocalShards local_shards(const SavePlan& plan, const State& state) {
  engine::LocalShards shards(plan.layout.datasets.size());
  for (std::size_t i = 0; i < state.tensors().size(); ++i) {
    const auto& [description, memory] = state.tensors()[i];
    const auto& [path, dtype, shape, shard] = description;
    const auto dataset = plan.dataset_of_tensor[i];
    const auto& chunk = plan.layout.datasets[dataset].chunk_shape;
    const auto range = contiguous_range(shard, shape);
    if (!range || !chunk.empty()) {
      shards[dataset] = {&memory, 0, 0, std::make_shared<const ShardMap>(StorageOrder(shape, chunk), shard, dtype)};
      continue;
    }
    const auto item = item_bytes(dtype);
    shards[dataset] = {&memory, range->first * item, range->count * item, nullptr};
  }
  return shards;
}

}  // namespace muster::save
