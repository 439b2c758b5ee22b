#pragma once
// A model as one rank sees it: its tensors, their keys in the job, and where they lie in the global tensors. Local.

#include <muster/grid.hpp>
#include <muster/rules.hpp>
#include <muster/torch/model_ref.hpp>
#include <muster/torch/training_state.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "torch/object_path.hpp"

namespace muster::torch_adapter {

// This rank among the ranks of the job.
struct RankInGrid {
  ParallelGrid grid;
  int rank = 0;
};

class ModelView {
 public:
  // Borrows the options and the rank. Throws Error{usage} if the model is a null pointer.
  ModelView(ObjectPath at, const ModelRef& model, const ModelOptions& options, const RankInGrid& rank);

  [[nodiscard]] const ObjectPath& at() const { return at_; }
  [[nodiscard]] const ModelOptions& options() const { return options_; }
  // With the keys of the job.
  [[nodiscard]] const std::vector<NamedTensor>& tensors() const { return tensors_; }
  // The first key of a parameter; null if it is none. Its optimizer state and its master are under that one, whatever
  // other names it has.
  [[nodiscard]] const std::string* first_key(const torch::Tensor& parameter) const;
  [[nodiscard]] Placement placement(const std::string& key, const torch::Tensor& tensor) const;

 private:
  ObjectPath at_;
  const ModelOptions& options_;
  const RankInGrid& rank_;
  std::vector<NamedTensor> tensors_;
  std::unordered_map<const c10::TensorImpl*, std::string> first_keys_;
};

// Adds a described tensor, which is whole so far, as this part.
void add_placed(State& state, Tensor described, Placement placement);

}  // namespace muster::torch_adapter
