#include "torch/optimizer_parts.hpp"

#include <muster/error.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/narrow.hpp"
#include "torch/param_state.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

// Calls use(global key, part, description of its values as a part of the master) for every part that is a master.
template <class Use>
void for_each_master(const std::vector<OptimizerPart>& parts, const torch::nn::Module& model, const Places& places,
                     Use&& use) {
  if (parts.empty()) return;
  std::unordered_map<const c10::TensorImpl*, std::string> keys;
  for (const auto& item : model.named_parameters()) {
    keys.emplace(item.value().unsafeGetTensorImpl(), places.global_key(item.key()));
  }
  for (const auto& part : parts) {
    if (!Places::is_master(part) || part.range.count == 0) continue;
    use(keys.at(part.parameter.unsafeGetTensorImpl()), part);
  }
}

}  // namespace

void describe_masters(State& state, const std::vector<OptimizerPart>& parts, const torch::nn::Module& model,
                      const Places& places) {
  for_each_master(parts, model, places, [&](const std::string& key, const OptimizerPart& part) {
    add_placed(state, describe_tensor(slot_path(key, kMasterSlot), part.optimized),
               places.optimizer_placement(key, part.optimized));
  });
}

void prepare_parts(LoadBuilder& load, const std::vector<OptimizerPart>& parts, const torch::nn::Module& model,
                   const Places& places) {
  std::vector<OptimizerPart> renewed;  // from the parameters as they are then
  for (const auto& part : parts) {
    if (!Places::is_master(part) && part.range.count > 0) renewed.push_back(part);
  }
  for_each_master(parts, model, places, [&](const std::string& key, const OptimizerPart& part) {
    auto path = slot_path(key, kMasterSlot);
    const auto parameter = object_path({"model", key});
    if (!load.selects(path)) {
      if (load.selects(parameter)) renewed.push_back(part);
      return;
    }
    if (load.saved(path) == nullptr) load.make_from(path, parameter);
    add_placed(load.state(), describe_tensor(std::move(path), part.optimized),
               places.optimizer_placement(key, part.optimized));
  });
  load.on_commit([renewed = std::move(renewed)] {
    const torch::NoGradGuard no_grad;
    for (const auto& [optimized, parameter, range] : renewed) {
      // Where it is a view of the parameter, this changes nothing.
      optimized.copy_(
          parameter.view({-1}).narrow(0, narrow<std::int64_t>(range.first), narrow<std::int64_t>(range.count)));
    }
  });
}

}  // namespace muster::torch_adapter
