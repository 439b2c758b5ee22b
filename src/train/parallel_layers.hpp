#pragma once
// Layers of which each rank of a tensor parallel group holds a part, under the names that the whole layer has. On one
// rank they are Torch's own, operation by operation. Collective over the group in forward or backward; every rank has
// the same input but where said otherwise. The group must outlive the layer.

#include <torch/torch.h>

#include <cstdint>

#include "mpi/comm.hpp"

namespace muster::train {

// The part [first, first + count) of so many rows that a rank of the group has, cut as the library's rules do.
struct RowPart {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
RowPart part_of_rows(std::int64_t rows, const mpi::CommView& group);

// Some of the outputs: weight [own outputs, inputs], bias [own outputs]. The output is this rank's own.
class ColumnLinearImpl : public torch::nn::LinearImpl {
 public:
  // outputs: of the whole layer.
  ColumnLinearImpl(std::int64_t inputs, std::int64_t outputs, bool with_bias, const mpi::CommView& group);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  const mpi::CommView& group_;
};
TORCH_MODULE(ColumnLinear);

// Some of the inputs: weight [outputs, own inputs], bias [outputs] on all ranks. The input is this rank's own, the
// output the same on all.
class RowLinearImpl : public torch::nn::LinearImpl {
 public:
  // inputs: of the whole layer.
  RowLinearImpl(std::int64_t inputs, std::int64_t outputs, const mpi::CommView& group);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  const mpi::CommView& group_;
};
TORCH_MODULE(RowLinear);

// Some of the words: weight [own words, width]. The output is the same on all ranks.
class VocabularyEmbeddingImpl : public torch::nn::EmbeddingImpl {
 public:
  // words: of the whole vocabulary.
  VocabularyEmbeddingImpl(std::int64_t words, std::int64_t width, const mpi::CommView& group);
  torch::Tensor forward(const torch::Tensor& words);

 private:
  const mpi::CommView& group_;
  std::int64_t first_;
};
TORCH_MODULE(VocabularyEmbedding);

}  // namespace muster::train
