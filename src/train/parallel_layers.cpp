#include "train/parallel_layers.hpp"

#include <muster/sharding.hpp>

#include "base/narrow.hpp"
#include "train/regions.hpp"

namespace muster::train {

RowPart part_of_rows(std::int64_t rows, const mpi::CommView& group) {
  const auto [first, count] = chunk(narrow<std::uint64_t>(rows), group.rank(), group.size());
  return {narrow<std::int64_t>(first), narrow<std::int64_t>(count)};
}

ColumnLinearImpl::ColumnLinearImpl(std::int64_t inputs, std::int64_t outputs, bool with_bias,
                                   const mpi::CommView& group)
    : LinearImpl(torch::nn::LinearOptions(inputs, part_of_rows(outputs, group).count).bias(with_bias)), group_(group) {}

torch::Tensor ColumnLinearImpl::forward(const torch::Tensor& x) {
  return LinearImpl::forward(copy_to_region(x, group_));
}

RowLinearImpl::RowLinearImpl(std::int64_t inputs, std::int64_t outputs, const mpi::CommView& group)
    : LinearImpl(torch::nn::LinearOptions(part_of_rows(inputs, group).count, outputs)), group_(group) {}

torch::Tensor RowLinearImpl::forward(const torch::Tensor& x) {
  if (group_.size() == 1) return LinearImpl::forward(x);
  // The bias once, not once a rank.
  return sum_of_region(torch::linear(x, weight), group_) + bias;
}

VocabularyEmbeddingImpl::VocabularyEmbeddingImpl(std::int64_t words, std::int64_t width, const mpi::CommView& group)
    : EmbeddingImpl(torch::nn::EmbeddingOptions(part_of_rows(words, group).count, width)),
      group_(group),
      first_(part_of_rows(words, group).first) {}

torch::Tensor VocabularyEmbeddingImpl::forward(const torch::Tensor& words) {
  if (group_.size() == 1) return EmbeddingImpl::forward(words);
  const auto own = words - first_;
  const auto is_other = own.lt(0).logical_or(own.ge(weight.size(0)));
  const auto found = EmbeddingImpl::forward(own.masked_fill(is_other, 0));
  return sum_of_region(found.masked_fill(is_other.unsqueeze(-1), 0), group_);
}

}  // namespace muster::train
