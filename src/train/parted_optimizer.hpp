#pragma once
// The optimizer of this rank: of the model's parameters, or of parts of them. Parts are there with ZeRO-1, where each
// rank of a data parallel group steps some rows of every parameter and gets the others from its peers, and for
// parameters in bfloat16, whose masters in float32 are stepped.

#include <torch/torch.h>

#include <memory>
#include <muster/torch.hpp>
#include <vector>

#include "mpi/comm.hpp"
#include "train/gradients.hpp"
#include "train/options.hpp"

namespace muster::train {

class PartedOptimizer {
 public:
  // Local. The parameters are float32 still, and the values that masters begin with; where options say so they are
  // bfloat16 when this returns. All ranks of the data group have the same parameters.
  PartedOptimizer(const Options& options, torch::nn::Module& model, const mpi::CommView& data);

  [[nodiscard]] Gradients& gradients() { return *gradients_; }
  [[nodiscard]] torch::optim::Optimizer& optimizer() const { return *optimizer_; }
  // For muster: none where the optimizer has the parameters themselves. Empty ones are not in the optimizer.
  [[nodiscard]] const std::vector<OptimizerPart>& parts() const { return parts_; }

  // Local. The update by gradients that are summed, of this rank's parts and the parameters' elements that they stand
  // for.
  void step();
  // Collective over the data group. After step(): every rank has the elements that the others stepped.
  void share(const mpi::CommView& data);

 private:
  std::unique_ptr<Gradients> gradients_;
  std::vector<OptimizerPart> parts_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;

  // With ZeRO-1: views of the parameters' elements that each data rank steps, and their bytes.
  std::vector<std::vector<torch::Tensor>> stepped_by_;
  std::vector<std::uint64_t> bytes_of_;
};

}  // namespace muster::train
