#pragma once
// An optimizer as one rank sees it: the keys of its parameters, and what they stand for in the models. Local.

#include <muster/torch/optimizer_ref.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "torch/model_view.hpp"
#include "torch/object_path.hpp"

namespace muster::torch_adapter {

class OptimizerView {
 public:
  // optimizer: not given if a program has only parts. models: those that it updates; may be empty. Borrows the models,
  // the options and the rank. Throws Error{usage} if the optimizer is a null pointer, and for optimizer parts that do
  // not lie in a parameter of the models.
  OptimizerView(ObjectPath at, const OptimizerRef& optimizer, std::vector<const ModelView*> models,
                const OptimizerOptions& options, const RankInGrid& rank);

  [[nodiscard]] const ObjectPath& at() const { return at_; }
  [[nodiscard]] const OptimizerRef& ref() const { return ref_; }
  [[nodiscard]] torch::optim::Optimizer& optimizer() const { return *ref_.get(); }
  [[nodiscard]] const std::vector<const ModelView*>& models() const { return models_; }
  // Without the only model of a program, which has no name.
  [[nodiscard]] std::vector<std::string> model_names() const;
  [[nodiscard]] const OptimizerOptions& options() const { return options_; }

  // Whether ranks may have tensors that others lack.
  [[nodiscard]] bool is_parallel() const { return is_parallel_; }
  // Whether a tensor of which the job knows no name could be part of something larger.
  [[nodiscard]] bool needs_names() const { return needs_names_; }

  // The key under which this optimizer has the state of a parameter of its models, and its master: the parameter's
  // first key, with "<model>." before it if there are several models. Nothing for any other tensor.
  [[nodiscard]] std::optional<std::string> key_of(const torch::Tensor& parameter) const;
  // The same for a key of one of its models.
  [[nodiscard]] std::string key_of(const ModelView& model, const std::string& key) const;

  // Where a parameter of its models is in the file, under its first key. It must be one.
  [[nodiscard]] std::string path_of(const torch::Tensor& parameter) const;

  // The part that a parameter of the optimizer stands for; null if it is a parameter of a model itself.
  [[nodiscard]] const OptimizerPart* part(const torch::Tensor& optimized) const;
  // The part of a parameter; null if it has none.
  [[nodiscard]] const OptimizerPart* part_of_parameter(const torch::Tensor& parameter) const;
  // Whether a part's own values are to be saved beside its parameter's.
  [[nodiscard]] static bool is_master(const OptimizerPart& part) {
    return part.optimized.scalar_type() != part.parameter.scalar_type();
  }
  // Of a parameter of a model, and of what is as large as a parameter of the optimizer.
  [[nodiscard]] Placement placement(const torch::Tensor& parameter) const;
  [[nodiscard]] Placement optimizer_placement(const torch::Tensor& optimized) const;

 private:
  struct Found {
    const ModelView* model;
    const std::string* key;
  };
  [[nodiscard]] std::optional<Found> find(const torch::Tensor& parameter) const;
  void check_parts() const;

  ObjectPath at_;
  const OptimizerRef& ref_;
  std::vector<const ModelView*> models_;
  const OptimizerOptions& options_;
  bool is_parallel_;
  bool needs_names_;
  std::unordered_map<const c10::TensorImpl*, const OptimizerPart*> parts_;  // by what is optimized
  std::unordered_map<const c10::TensorImpl*, const OptimizerPart*> parts_of_parameters_;
};

}  // namespace muster::torch_adapter
