#include "torch/module.hpp"

#include <fmt/format.h>

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

void describe_module(State& state, const torch::nn::Module& module, Buffers buffers) {
  const auto parameters = module.named_parameters().size();
  std::size_t index = 0;
  for (const auto& [key, tensor] : state_dict(module)) {
    const bool is_buffer = index++ >= parameters;
    const auto path = object_path({kSection, key});
    if (is_buffer && buffers == Buffers::copied) {
      add_torch_copy(state, path, tensor);
    } else {
      add_torch_tensor(state, path, tensor);
    }
  }
}

void prepare_module(LoadBuilder& load, const torch::nn::Module& module) {
  const auto items = state_dict(module);
  for (const auto& [key, tensor] : items) {
    const auto path = object_path({kSection, key});
    add_torch_tensor(load.state(), path, tensor);
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
