#include "save/save_plan.hpp"

#include <memory>

#include "model/shard_map.hpp"

namespace muster::save {

engine::LocalShards local_shards(const SavePlan& plan, const State& state) {
  engine::LocalShards shards(plan.layout.tensors.size());
  for (std::size_t i = 0; i < state.tensors().size(); ++i) {
    const auto& [description, memory] = state.tensors()[i];
    const auto& shape = description.shape;
    const auto& chunk_shape = plan.layout.tensors[plan.stored_as[i]].chunk_shape;
    auto& local = shards[plan.stored_as[i]];
    const auto range = contiguous_range(description.shard, shape);
    if (!range || !chunk_shape.empty()) {
      local = {
          {},
          &memory,
          std::make_shared<const ShardMap>(StorageOrder(shape, chunk_shape), description.shard, description.dtype)};
      continue;
    }
    const auto item = item_bytes(description.dtype);
    local = {{range->first * item, range->count * item}, &memory, nullptr};
  }
  return shards;
}

}  // namespace muster::save
