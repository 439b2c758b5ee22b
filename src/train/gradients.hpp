#pragma once
// The gradients of all parameters in one buffer, summed over the ranks by MPI.

#include <torch/torch.h>

#include <vector>

#include "mpi/comm.hpp"

namespace muster::train {

class Gradients {
 public:
  // Makes the gradient of each parameter (float32) a view of one flat buffer, into which backward() adds.
  explicit Gradients(const std::vector<torch::Tensor>& parameters);
  void zero() { flat_.zero_(); }
  // Collective.
  void sum_over_ranks(const mpi::CommView& comm);

 private:
  torch::Tensor flat_;
};

}  // namespace muster::train
