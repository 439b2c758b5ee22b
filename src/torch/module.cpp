#include "torch/module.hpp"

#include <fmt/format.h>

#include "torch/param_state.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

constexpr const char* kSection = "model";

}  // namespace

std::vector<std::pair<std::string, torch::Tensor>> state_dict(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, torch::Tensor>> items;
  for (const auto& named : {module.named_parameters(), module.named_buffers()}) {
    for (const auto& item : named) {
      if (item.value().defined()) items.emplace_back(item.key(), item.value());
    }
  }
  return items;
}

namespace {

bool has_finer_master(const torch::Tensor& tensor, const Places& places) {
  const auto* part = places.part_of_parameter(tensor);
  return part != nullptr && Places::is_master(*part) && part->optimized.element_size() > part->parameter.element_size();
}

}  // namespace

void describe_module(State& state, const torch::nn::Module& module, const Places& places, Buffers buffers,
                     bool leaves_out_low_precision) {
  const auto parameters = module.named_parameters().size();
  std::size_t index = 0;
  for (const auto& [local_key, tensor] : state_dict(module)) {
    const bool is_buffer = index++ >= parameters;
    const auto key = places.global_key(local_key);
    const auto* first_key = places.first_key(tensor);
    const bool is_first_name = first_key != nullptr && *first_key == key;
    if (leaves_out_low_precision && is_first_name && has_finer_master(tensor, places)) continue;
    auto path = object_path({kSection, key});
    const bool is_copied = is_buffer && buffers == Buffers::copied;
    add_placed(state, is_copied ? describe_copy(std::move(path), tensor) : describe_tensor(std::move(path), tensor),
               places.placement(key, tensor));
  }
}

void prepare_module(LoadBuilder& load, const torch::nn::Module& module, const Places& places) {
  const auto items = state_dict(module);
  for (const auto& [local_key, tensor] : items) {
    const auto key = places.global_key(local_key);
    const auto path = object_path({kSection, key});
    add_placed(load.state(), describe_tensor(path, tensor), places.placement(key, tensor));
    if (const auto* first_key = places.first_key(tensor)) {
      const auto master = slot_path(*first_key, kMasterSlot);
      const auto* saved = load.saved(path);
      const auto* saved_master = load.saved(master);
      const auto dtype = to_dtype(tensor.scalar_type());
      // One that was left out is rounded from its master; one that is there is not replaced by something rounded.
      const bool is_better = saved == nullptr || (saved->dtype != dtype && saved_master != nullptr &&
                                                  load.fits(saved_master->dtype, dtype));
      if (saved_master != nullptr && is_better) load.make_from(path, master);
    }
    if (!is_writable(tensor)) {
      load.problem(
          fmt::format("{}: elements of the model's tensor share memory, so nothing can be loaded into it", path));
    }
  }
  load.want_whole(kSection);
  // The bytes were replaced behind autograd's back: a backward pass over the old values must be refused.
  load.on_commit([items] {
    for (const auto& [key, tensor] : items) {
      if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
    }
  });
}

}  // namespace muster::torch_adapter
