#include "train/regions.hpp"

#include <cstdint>
#include <span>

#include "train/collectives.hpp"

namespace muster::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A copy in any case: gradients may be shared with other operations.
torch::Tensor summed(const torch::Tensor& x, const mpi::CommView& region) {
  auto sum = x.detach().to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true).contiguous();
  sum_over_ranks(region, std::span(sum.data_ptr<float>(), static_cast<std::size_t>(sum.numel())));
  return sum.to(x.scalar_type());
}

struct CopyToRegion : torch::autograd::Function<CopyToRegion> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, std::int64_t region) {
    context->saved_data["region"] = region;
    return x;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* region = reinterpret_cast<const mpi::CommView*>(context->saved_data["region"].toInt());
    return {summed(gradients[0], *region), {}};
  }
};

struct SumOfRegion : torch::autograd::Function<SumOfRegion> {
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& x, const mpi::CommView* region) {
    return summed(x, *region);
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) { return {gradients[0], {}}; }
};

}  // namespace

torch::Tensor copy_to_region(const torch::Tensor& x, const mpi::CommView& region) {
  if (region.size() == 1) return x;
  // Torch keeps numbers for the backward pass, not pointers.
  return CopyToRegion::apply(x, static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(&region)));
}

torch::Tensor sum_of_region(const torch::Tensor& x, const mpi::CommView& region) {
  if (region.size() == 1) return x;
  return SumOfRegion::apply(x, &region);
}

}  // namespace muster::train
