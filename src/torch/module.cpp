#include "torch/module.hpp"

#include <fmt/format.h>

#include "torch/param_groups.hpp"
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

bool has_finer_master(const torch::Tensor& tensor, const Placements& placements) {
  const auto* part = placements.part_of_parameter(tensor);
  return part != nullptr && Placements::is_master(*part) &&
         part->optimized.element_size() > part->parameter.element_size();
}

}  // namespace

LeftOut describe_module(State& state, const torch::nn::Module& module, const Placements& placements, Buffers buffers,
                        bool leaves_out_low_precision) {
  LeftOut left_out;
  const auto parameters = module.named_parameters().size();
  std::size_t index = 0;
  for (const auto& [local_key, tensor] : state_dict(module)) {
    const bool is_buffer = index++ >= parameters;
    const auto key = placements.global_key(local_key);
    const auto* first_key = placements.first_key(tensor);
    const bool is_first_name = first_key != nullptr && *first_key == key;
    if (leaves_out_low_precision && is_first_name && has_finer_master(tensor, placements)) {
      left_out.emplace(key, name(to_dtype(tensor.scalar_type())));
      continue;
    }
    auto path = object_path({kSection, key});
    const bool is_copied = is_buffer && buffers == Buffers::copied;
    add_placed(state, is_copied ? describe_copy(std::move(path), tensor) : describe_tensor(std::move(path), tensor),
               placements.placement(key, tensor));
  }
  return left_out;
}

namespace {

// Why a parameter that was left out is not made from its master; empty where it is, for it comes out as it was, exact,
// or as was asked for.
std::string why_not_made(const LoadBuilder& load, const std::string& key, const LeftOut& left_out, DType dtype,
                         DType master) {
  const auto found = left_out.find(key);
  // Files of before this was recorded: of jobs in bfloat16, as good as all of them.
  const std::string was = found != left_out.end() ? found->second : std::string(name(DType::bfloat16));
  if (name(dtype) == was || load.fits(master, dtype)) return {};
  return fmt::format("{}: {} wanted, and a master in {} alone in the checkpoint, of weights that were {}{}",
                     object_path({kSection, key}), name(dtype), name(master), was,
                     found != left_out.end() ? "" : " (it does not say, so they are taken to be)");
}

}  // namespace

void prepare_module(LoadBuilder& load, const torch::nn::Module& module, const Placements& placements) {
  const auto items = state_dict(module);
  const auto left_out = left_out_of(load.contents().find_document(object_path({kOptimizerSection, kParamGroupsKey})),
                                    [&load](const std::string& key) { return load.key_here(key); });
  for (const auto& [local_key, tensor] : items) {
    const auto key = placements.global_key(local_key);
    const auto path = object_path({kSection, key});
    bool fits = true;
    if (const auto* first_key = placements.first_key(tensor)) {
      const auto master = slot_path(*first_key, kMasterSlot);
      const auto* saved = load.saved(path);
      const auto* saved_master = load.saved(master);
      const auto dtype = to_dtype(tensor.scalar_type());
      // One that was left out is rounded from its master; one that is there is not replaced by something rounded.
      if (saved_master != nullptr && saved == nullptr) {
        auto why_not = load.selects(path) ? why_not_made(load, *first_key, left_out, dtype, saved_master->dtype) : "";
        fits = why_not.empty();
        if (fits) {
          load.make_from(path, master);
        } else {
          load.problem(std::move(why_not));
        }
      } else if (saved_master != nullptr && saved->dtype != dtype && load.fits(saved_master->dtype, dtype)) {
        load.make_from(path, master);
      }
    }
    // One that does not fit has its line, and is not missing as well.
    if (fits) add_placed(load.state(), describe_tensor(path, tensor), placements.placement(key, tensor));
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
