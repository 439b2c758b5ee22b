#pragma once
// References to optimizers, and their parameters that stand for parts of parameters.

#include <torch/torch.h>

#include <concepts>
#include <memory>
#include <muster/export.hpp>
#include <muster/state.hpp>
#include <muster/torch/optimizer_traits.hpp>

namespace MUSTER_EXPORT muster {

// An optimizer to save or load. Default: not given. It is one of these:
// * SGD, Adam, AdamW, Adagrad, RMSprop or LBFGS of LibTorch
// * an optimizer of a class for which there are OptimizerTraits. The reference must be to that class and not to
//   torch::optim::Optimizer.
// * any other optimizer whose `save` writes something and whose `load` reads it. What it writes is taken apart: the
//   state of a parameter becomes tensors under the key of the parameter, and options become JSON, as for other
//   optimizers. Anything else is in <optimizer>/archive and in the document param_groups. These are the rules:
//   - The state of parameters is found if it is laid out as torch::optim::serialize does it, or if the keys of "state"
//     are the positions of the parameters.
//   - A save makes two copies of the state in host memory, of which one lasts until the save has read it. A load makes
//     two. OptimizerTraits avoid the copies.
//   - A load makes tensors on the device of their parameter, and those without dimensions on the CPU.
//   - A load restores the options if their class implements clone() and serialize(), also if `load` does not.
//   - If the optimizer does not save what was loaded, the load fails with CollectiveError{internal} after it changed
//     the state.
//   An optimizer that writes nothing is CollectiveError{usage} on all ranks. In a job that cuts tensors, so are tensors
//   that are not the state of a parameter and have dimensions.
// The rules for pointers are those of ModelRef.
class OptimizerRef {
 public:
  OptimizerRef() = default;
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(O& optimizer)
      : given_(true), optimizer_(&optimizer), class_(muster::optimizer_class<O>()) {}
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(const std::shared_ptr<O>& optimizer)
      : given_(true), optimizer_(optimizer.get()), class_(muster::optimizer_class<O>()), owner_(optimizer) {}
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(const std::unique_ptr<O>& optimizer)
      : given_(true), optimizer_(optimizer.get()), class_(muster::optimizer_class<O>()) {}
  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] torch::optim::Optimizer* get() const { return optimizer_; }
  // Null if there are no OptimizerTraits for it.
  [[nodiscard]] const OptimizerClass* optimizer_class() const { return class_; }

 private:
  bool given_ = false;
  torch::optim::Optimizer* optimizer_ = nullptr;
  const OptimizerClass* class_ = nullptr;
  std::shared_ptr<const void> owner_;
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
