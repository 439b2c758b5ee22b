#include "torch/model_view.hpp"

#include <muster/error.hpp>
#include <utility>

#include "torch/tensor.hpp"

namespace muster::torch_adapter {

ModelView::ModelView(ObjectPath at, const ModelRef& model, const ModelOptions& options, const RankInGrid& rank)
    : at_(std::move(at)), options_(options), rank_(rank) {
  if (model.null()) throw Error(ErrorKind::usage, "the " + at_.shown() + " is a null pointer");
  tensors_ = model.tensors();
  for (auto& tensor : tensors_) {
    if (options.global_key) tensor.key = options.global_key(tensor.key);
    if (!tensor.is_buffer) first_keys_.emplace(tensor.tensor.unsafeGetTensorImpl(), tensor.key);
  }
}

const std::string* ModelView::first_key(const torch::Tensor& parameter) const {
  const auto found = first_keys_.find(parameter.unsafeGetTensorImpl());
  return found == first_keys_.end() ? nullptr : &found->second;
}

Placement ModelView::placement(const std::string& key, const torch::Tensor& tensor) const {
  return placement_of(options_.rules, key, shape_of(tensor), rank_.grid, rank_.rank);
}

void add_placed(State& state, Tensor described, Placement placement) {
  described.description.shape = std::move(placement.global_shape);
  described.description.shard = std::move(placement.shard);
  state.add(std::move(described));
}

}  // namespace muster::torch_adapter
