#include "torch/optimizer_parts.hpp"

#include <string>
#include <utility>
#include <vector>

#include "base/narrow.hpp"
#include "torch/param_state.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

// Calls use(path of the master, part) for every part that is a master.
template <class Use>
void for_each_master(const OptimizerView& view, Use&& use) {
  for (const auto& part : view.options().parts) {
    const auto key = view.key_of(part.parameter);
    if (key && OptimizerView::is_master(part)) use(slot_path(view.at(), *key, kMasterSlot), part);
  }
}

}  // namespace

void describe_masters(State& state, const OptimizerView& view) {
  for_each_master(view, [&](std::string path, const OptimizerPart& part) {
    if (part.range.count > 0) {
      add_placed(state, describe_tensor(std::move(path), part.optimized), view.optimizer_placement(part.optimized));
    } else if (view.options().avoid_saving_lower_precision_weights) {
      // Were all ranks' parts empty, nobody would have the weights: then the save must not succeed.
      state.add(std::move(path), to_dtype(part.optimized.scalar_type()), view.placement(part.parameter).global_shape,
                nullptr, Shard::flat(0, 0));
    }
  });
}

void prepare_parts(LoadBuilder& load, const OptimizerView& view) {
  std::vector<OptimizerPart> renewed;  // from the parameters as they are then
  for (const auto& part : view.options().parts) {
    if (!OptimizerView::is_master(part) && part.range.count > 0) renewed.push_back(part);
  }
  for_each_master(view, [&](const std::string& path, const OptimizerPart& part) {
    if (part.range.count == 0) return;
    const auto parameter = view.path_of(part.parameter);
    const auto shape = view.placement(part.parameter).global_shape;
    const auto dtype = to_dtype(part.optimized.scalar_type());
    const bool fills_parameter = load.fills(parameter, to_dtype(part.parameter.scalar_type()), shape);
    if (load.saved(path) == nullptr && fills_parameter) load.make_from(path, parameter);
    // The parameter is not to lie beside a master of before, nor the master beside a parameter of before: one that was
    // left out of the file and does not fit stays as it is, and so does its master.
    const bool stays = !fills_parameter && load.selects(parameter) && load.saved(parameter) == nullptr;
    if (stays || (fills_parameter && !load.fills(path, dtype, shape))) renewed.push_back(part);
    if (!load.selects(path)) return;
    add_placed(load.state(), describe_tensor(path, part.optimized), view.optimizer_placement(part.optimized));
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
