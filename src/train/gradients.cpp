#include "train/gradients.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include "train/collectives.hpp"

namespace muster::train {

Gradients::Gradients(const std::vector<torch::Tensor>& parameters) {
  std::int64_t elements = 0;
  for (const auto& parameter : parameters) {
    firsts_.push_back(elements);
    elements += parameter.numel();
  }
  flat_ = torch::zeros({elements}, torch::kFloat32);
  const auto dtype = parameters.empty() ? torch::kFloat32 : parameters.front().scalar_type();
  found_ = dtype == torch::kFloat32 ? flat_ : torch::zeros({elements}, dtype);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& parameter = parameters[i];
    parameter.mutable_grad() = found_.narrow(0, firsts_[i], parameter.numel()).view(parameter.sizes());
  }
}

void Gradients::zero() {
  flat_.zero_();
  if (!found_.is_same(flat_)) found_.zero_();
}

void Gradients::collect() {
  if (found_.is_same(flat_)) return;
  flat_.add_(found_);
  found_.zero_();
}

void Gradients::sum_over_ranks(const mpi::CommView& comm) {
  train::sum_over_ranks(comm, std::span(flat_.data_ptr<float>(), static_cast<std::size_t>(flat_.numel())));
}

torch::Tensor Gradients::part(std::size_t parameter, std::int64_t first, std::int64_t count) const {
  return flat_.narrow(0, firsts_.at(parameter) + first, count);
}

}  // namespace muster::train
