#pragma once
// References to optimizers, and their parameters that stand for parts of parameters.

#include <torch/torch.h>

#include <concepts>
#include <memory>
#include <muster/export.hpp>
#include <muster/state.hpp>

namespace MUSTER_EXPORT muster {

// An optimizer to save or load: SGD, Adam, AdamW, Adagrad, RMSprop or LBFGS. Default: not given.
// An optimizer of another class is CollectiveError{usage} on all ranks. The rules for pointers are those of ModelRef.
class OptimizerRef {
 public:
  OptimizerRef() = default;
  OptimizerRef(torch::optim::Optimizer& optimizer) : given_(true), optimizer_(&optimizer) {}
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(const std::shared_ptr<O>& optimizer)
      : given_(true), optimizer_(optimizer.get()) {}
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(const std::unique_ptr<O>& optimizer)
      : given_(true), optimizer_(optimizer.get()) {}
  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] torch::optim::Optimizer* get() const { return optimizer_; }

 private:
  bool given_ = false;
  torch::optim::Optimizer* optimizer_ = nullptr;
};

// A parameter of the optimizer that stands for a range of the elements of a parameter of the model on this rank. It is
// for ZeRO-1, in which each rank of a data parallel group updates a range of every parameter, and for masters: tensors
// in float32 of parameters in bfloat16. If any rank has an optimizer part of a parameter, every rank that has the
// parameter gives exactly one. A rank that updates no element gives an empty range and an empty tensor of the dtype of
// the others. No optimizer needs to contain that tensor.
struct OptimizerPart {
  torch::Tensor optimized;  // the tensor of the optimizer, with one dimension of range.count elements
  torch::Tensor parameter;  // the parameter of the model, dense and row-major
  ElementRange range;       // the elements of `parameter`, for example from chunk_of_rows()
};

}  // namespace muster
