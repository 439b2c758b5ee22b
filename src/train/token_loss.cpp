#include "train/token_loss.hpp"

#include <span>
#include <tuple>

#include "train/collectives.hpp"
#include "train/parallel_layers.hpp"

namespace muster::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::span<float> values_of(const torch::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

struct PartedCrossEntropy : torch::autograd::Function<PartedCrossEntropy> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& logits, const torch::Tensor& targets,
                               std::int64_t first, const mpi::CommView* group) {
    const auto greatest = std::get<0>(logits.max(1)).contiguous();
    greatest_of_ranks(*group, values_of(greatest));
    const auto shifted = logits - greatest.unsqueeze(1);
    const auto powers = shifted.exp();

    const auto own = targets - first;
    const auto is_other = own.lt(0).logical_or(own.ge(logits.size(1)));
    const auto index = own.masked_fill(is_other, 0).unsqueeze(1);
    const auto of_target = shifted.gather(1, index).squeeze(1).masked_fill(is_other, 0);

    const auto sums = torch::stack({powers.sum(1), of_target});
    sum_over_ranks(*group, values_of(sums));
    context->save_for_backward({powers / sums[0].unsqueeze(1), index, is_other});
    return sums[0].log() - sums[1];
  }

  // Probability less one for the target, wherever that is.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto is_target = saved[2].logical_not().to(torch::kFloat32).unsqueeze(1);
    return {saved[0].scatter_add(1, saved[1], -is_target) * gradients[0].unsqueeze(1), {}, {}, {}};
  }
};

}  // namespace

torch::Tensor token_losses(const torch::Tensor& logits, const torch::Tensor& targets, std::int64_t vocabulary,
                           const mpi::CommView& group) {
  const auto exact = logits.to(torch::kFloat32);
  if (group.size() == 1) return torch::cross_entropy_loss(exact, targets, {}, at::Reduction::None);
  return PartedCrossEntropy::apply(exact, targets, part_of_rows(vocabulary, group).first, &group);
}

}  // namespace muster::train
