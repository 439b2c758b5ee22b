#pragma once
// The gradients of all parameters in one buffer of float32, summed over the ranks by MPI.

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::train {

class Gradients {
 public:
  // Makes the gradient of each parameter a view of one flat buffer, into which backward() adds: of the buffer itself
  // where all parameters are float32, else of one of their dtype (they all have the same) beside it.
  explicit Gradients(const std::vector<torch::Tensor>& parameters);
  void zero();
  // After each backward(): adds what it found, so that sums over sequences are of float32 whatever the parameters are.
  void collect();
  // Collective.
  void sum_over_ranks(const mpi::CommView& comm);
  // Elements [first, first + count) of the gradient of a parameter, by its place among the parameters. A view.
  [[nodiscard]] torch::Tensor part(std::size_t parameter, std::int64_t first, std::int64_t count) const;

 private:
  torch::Tensor flat_;
  torch::Tensor found_;  // by backward(); flat_ itself for float32
  std::vector<std::int64_t> firsts_;
};

}  // namespace muster::train
