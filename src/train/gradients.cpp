#include "train/gradients.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include "train/collectives.hpp"

namespace muster::train {

Gradients::Gradients(const std::vector<torch::Tensor>& parameters) {
  std::int64_t elements = 0;
  for (const auto& parameter : parameters) elements += parameter.numel();
  flat_ = torch::zeros({elements}, torch::kFloat32);
  std::int64_t first = 0;
  for (const auto& parameter : parameters) {
    parameter.mutable_grad() = flat_.narrow(0, first, parameter.numel()).view(parameter.sizes());
    first += parameter.numel();
  }
}

void Gradients::sum_over_ranks(const mpi::CommView& comm) {
  train::sum_over_ranks(comm, std::span(flat_.data_ptr<float>(), static_cast<std::size_t>(flat_.numel())));
}

}  // namespace muster::train
