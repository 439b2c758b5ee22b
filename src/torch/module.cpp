#include "torch/module.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/narrow.hpp"
#include "torch/param_groups.hpp"
#include "torch/param_state.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

// The optimizer that saves a master of which a load makes this parameter; null if there is none.
const OptimizerView* left_to(const std::vector<const OptimizerView*>& optimizers, const torch::Tensor& tensor) {
  for (const auto* optimizer : optimizers) {
    if (!optimizer->options().avoid_saving_lower_precision_weights) continue;
    const auto* part = optimizer->part_of_parameter(tensor);
    if (part != nullptr && OptimizerView::is_master(*part) &&
        part->optimized.element_size() > part->parameter.element_size()) {
      return optimizer;
    }
  }
  return nullptr;
}

}  // namespace

void describe_module(State& state, const ModelView& model, const std::vector<const OptimizerView*>& optimizers,
                     Buffers buffers, std::map<const OptimizerView*, LeftOut>& left_out) {
  for (const auto& [key, tensor, is_buffer] : model.tensors()) {
    const auto* first_key = model.first_key(tensor);
    const auto* optimizer = first_key != nullptr && *first_key == key ? left_to(optimizers, tensor) : nullptr;
    if (optimizer != nullptr) {
      left_out[optimizer].emplace(optimizer->key_of(model, key), name(to_dtype(tensor.scalar_type())));
      continue;
    }
    auto path = model.at().at(key);
    const bool is_copied = is_buffer && buffers == Buffers::copied;
    add_placed(state, is_copied ? describe_copy(std::move(path), tensor) : describe_tensor(std::move(path), tensor),
               model.placement(key, tensor));
  }
}

namespace {

// The masters that a checkpoint has of the parameters of a model, in whichever optimizer.
class SavedMasters {
 public:
  SavedMasters(const LoadBuilder& load, const ObjectPath& model) : load_(load) {
    if (model.name().empty()) {
      add(ObjectPath("optimizer"), "");
      return;
    }
    for (const auto& [path, document] : load.contents().documents) {
      const auto keys = object_keys(path);
      if (keys.size() != 3 || keys[0] != "optimizers" || keys[2] != kParamGroupsKey) continue;
      const auto models = models_of(document);
      if (std::ranges::find(models, model.name()) == models.end()) continue;
      add(ObjectPath("optimizer", keys[1]), models.size() > 1 ? model.name() + "." : "");
    }
  }

  struct Found {
    std::string path;
    const TensorDescription* tensor;
    std::optional<std::string> left_out_dtype;  // of the parameter, where the checkpoint says so
  };
  // Of the parameter with this first key.
  [[nodiscard]] std::optional<Found> find(const std::string& first_key) const {
    for (const auto& [at, prefix, left_out] : optimizers_) {
      auto path = slot_path(at, prefix + first_key, kMasterSlot);
      const auto* tensor = load_.saved(path);
      if (tensor == nullptr) continue;
      Found found{std::move(path), tensor, std::nullopt};
      if (const auto entry = left_out.find(prefix + first_key); entry != left_out.end()) {
        found.left_out_dtype = entry->second;
      }
      return found;
    }
    return std::nullopt;
  }

 private:
  struct Optimizer {
    ObjectPath at;
    std::string prefix;  // of the keys of this model
    LeftOut left_out;
  };

  void add(const ObjectPath& at, std::string prefix) {
    optimizers_.push_back({at, std::move(prefix),
                           left_out_of(load_.contents().find_document(at.at(kParamGroupsKey)),
                                       [this](const std::string& key) { return load_.key_here(key); })});
  }

  const LoadBuilder& load_;
  std::vector<Optimizer> optimizers_;
};

// Why a parameter that was left out is not made from its master; empty where it is, for it comes out as it was, exact,
// or as was asked for.
std::string why_not_made(const LoadBuilder& load, const std::string& path, DType dtype,
                         const SavedMasters::Found& master) {
  // Files of before this was recorded: of jobs in bfloat16, as good as all of them.
  const auto was = master.left_out_dtype.value_or(std::string(name(DType::bfloat16)));
  const auto saved = master.tensor->dtype;
  if (name(dtype) == was || load.fits(saved, dtype)) return {};
  return fmt::format("{}: {} wanted, and a master in {} alone in the checkpoint, of weights that were {}{}", path,
                     name(dtype), name(saved), was,
                     master.left_out_dtype ? "" : " (it does not say, so they are taken to be)");
}

torch::Tensor empty_of_shape(const Shape& shape, const torch::Tensor& like) {
  std::vector<std::int64_t> sizes;
  for (const auto size : shape) sizes.push_back(narrow<std::int64_t>(size));
  const c10::InferenceMode normal_mode(false);
  return torch::empty(sizes, like.options().requires_grad(false));
}

// The tensor that takes the place of one that cannot be filled as it is; undefined if it can.
torch::Tensor replacement(LoadBuilder& load, const ModelView& model, const std::string& key,
                          const torch::Tensor& tensor, const TensorDescription* saved) {
  if (saved == nullptr) return {};
  const auto placement = model.placement(key, tensor);
  const bool has_other_shape = saved->shape != placement.global_shape;
  if (!has_other_shape) return is_writable(tensor) ? torch::Tensor() : empty_of_shape(shape_of(tensor), tensor);
  const auto& resizable = model.options().resizable;
  if (resizable.empty() || !load::is_selected(resizable, key)) return {};
  if (placement.shard != Shard::whole()) {
    load.problem(
        fmt::format("{}: {} in the checkpoint, {} here; a tensor that is cut over ranks cannot take another shape",
                    saved->path, to_string(saved->shape), to_string(placement.global_shape)));
    return {};
  }
  load.made(saved->path);
  return empty_of_shape(saved->shape, tensor);
}

void replace(const torch::Tensor& tensor, const torch::Tensor& by) {
  const torch::NoGradGuard no_grad;
  if (tensor.sizes() != by.sizes()) tensor.mutable_grad() = torch::Tensor();
  tensor.set_data(by);
}

}  // namespace

void prepare_module(LoadBuilder& load, const ModelView& model) {
  const SavedMasters masters(load, model.at());
  for (const auto& [key, tensor, is_buffer] : model.tensors()) {
    const auto path = model.at().at(key);
    bool fits = true;
    if (const auto* first_key = model.first_key(tensor)) {
      const auto* saved = load.saved(path);
      const auto master = masters.find(*first_key);
      const auto dtype = to_dtype(tensor.scalar_type());
      // One that was left out is rounded from its master; one that is there is not replaced by something rounded.
      if (master && saved == nullptr) {
        auto why_not = load.selects(path) ? why_not_made(load, model.at().at(*first_key), dtype, *master) : "";
        fits = why_not.empty();
        if (fits) {
          load.make_from(path, master->path);
        } else {
          load.problem(std::move(why_not));
        }
      } else if (master && saved->dtype != dtype && load.fits(master->tensor->dtype, dtype)) {
        load.make_from(path, master->path);
      }
    }
    // One that does not fit has its line, and is not missing as well.
    if (!fits) continue;
    auto target = load.replacement_of(tensor);
    if (!target.defined() && load.selects(path)) {
      target = replacement(load, model, key, tensor, load.source_of(path));
      if (target.defined()) {
        load.replace(tensor, target);
        load.on_commit([tensor = tensor, target] { replace(tensor, target); });
      }
    }
    auto placement = model.placement(key, tensor);
    if (target.defined() && target.sizes() != tensor.sizes()) placement = {shape_of(target), Shard::whole()};
    add_placed(load.state(), describe_tensor(path, target.defined() ? target : tensor), std::move(placement));
  }
  load.want_whole(model.at().section());
  // The bytes were replaced behind autograd's back: a backward pass over the old values must be refused.
  load.on_commit([items = model.tensors()] {
    for (const auto& item : items) {
      if (!item.tensor.is_inference()) item.tensor.unsafeGetTensorImpl()->bump_version();
    }
  });
}

}  // namespace muster::torch_adapter
