#pragma once
// Where this rank's modules and optimizers lie in the job's. Local.

#include <muster/torch.hpp>
#include <string>
#include <unordered_map>
#include <vector>

namespace muster::torch_adapter {

class Placements {
 public:
  // Throws Error{usage} for a grid that does not fit, and for optimizer parts that do not lie in a parameter of the
  // model. `parallel` must outlive this; `model` may be null where there are no parts.
  Placements(const Parallelism& parallel, int rank, int world_size, const torch::nn::Module* model);

  // Whether ranks may have tensors that others lack.
  [[nodiscard]] bool is_parallel() const { return is_parallel_; }
  // Whether a tensor of which the job knows no name could be part of something larger.
  [[nodiscard]] bool needs_names() const { return needs_names_; }
  // What a key of this rank's module is called in the job.
  [[nodiscard]] std::string global_key(const std::string& key) const;
  // The first global key of a parameter of the model; null where it is none. Its optimizer state and its master are
  // under that one, whatever other names it has.
  [[nodiscard]] const std::string* first_key(const torch::Tensor& parameter) const;
  // Of a tensor of this rank, by its global key.
  [[nodiscard]] Placement placement(const std::string& global_key, const torch::Tensor& tensor) const;

  // The part that an optimizer's parameter stands for; null where it is a parameter itself.
  [[nodiscard]] const OptimizerPart* part(const torch::Tensor& optimized) const;
  // The part of a parameter; null where it has none.
  [[nodiscard]] const OptimizerPart* part_of_parameter(const torch::Tensor& parameter) const;
  // Whether a part's own values are to be saved beside its parameter's.
  [[nodiscard]] static bool is_master(const OptimizerPart& part) {
    return part.optimized.scalar_type() != part.parameter.scalar_type();
  }
  // Of what is as large as a parameter of the optimizer, by that parameter's global key.
  [[nodiscard]] Placement optimizer_placement(const std::string& global_key, const torch::Tensor& optimized) const;

 private:
  void check_parts() const;

  const Parallelism& parallel_;
  ParallelGrid grid_;
  int rank_;
  bool is_parallel_;
  bool needs_names_;
  std::unordered_map<const c10::TensorImpl*, std::string> first_keys_;
  std::unordered_map<const c10::TensorImpl*, const OptimizerPart*> parts_;  // by what is optimized
  std::unordered_map<const c10::TensorImpl*, const OptimizerPart*> parts_of_parameters_;
};

// Adds a described tensor, which is whole so far, as this part.
void add_placed(State& state, Tensor described, Placement placement);

}  // namespace muster::torch_adapter
