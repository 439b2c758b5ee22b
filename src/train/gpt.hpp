#pragma once
// A byte-level GPT: learned positions, pre-norm blocks of causal self-attention and a GELU MLP. No dropout: the loss
// of a batch is a pure function of the weights. A rank may hold a part of it: some of the blocks (a pipeline stage),
// and of those some of the heads and hidden values (a rank of a tensor parallel group).

#include <torch/torch.h>

#include <cstdint>

#include "mpi/comm.hpp"
#include "train/parallel_layers.hpp"

namespace muster::train {

inline constexpr std::int64_t kByteValues = 256;

struct GptShape {
  std::int64_t context = 0;
  std::int64_t layers = 0;
  std::int64_t width = 0;
  std::int64_t heads = 0;  // the size of a tensor parallel group divides it
};

// The consecutive blocks of one stage. The first stage has the embeddings, too, the last one the norm and the head.
struct GptStage {
  std::int64_t first_layer = 0;
  std::int64_t layers = 0;
  bool is_first = true;
  bool is_last = true;
};

// The groups of tensor parallel ranks must outlive the modules.

class SelfAttentionImpl : public torch::nn::Module {
 public:
  SelfAttentionImpl(const GptShape& shape, const mpi::CommView& group);
  torch::Tensor forward(const torch::Tensor& x);  // [batch, length, width], length <= context

 private:
  std::int64_t heads_;  // of this rank
  std::int64_t head_width_;
  ColumnLinear qkv_;  // q, k and v cut each by itself: by heads
  RowLinear projection_;
  torch::Tensor future_;  // [context, context]: true where the key comes after the query. Derived, so not saved
};
TORCH_MODULE(SelfAttention);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const GptShape& shape, const mpi::CommView& group);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::nn::LayerNorm attention_norm_;
  SelfAttention attention_;
  torch::nn::LayerNorm mlp_norm_;
  ColumnLinear widen_;
  RowLinear narrow_;
};
TORCH_MODULE(Block);

class GptImpl : public torch::nn::Module {
 public:
  // Weights are drawn from Torch's default generator. Blocks are numbered from 0 in every stage.
  GptImpl(const GptShape& shape, const GptStage& stage, const mpi::CommView& group);
  // The first stage takes [batch, length] bytes as int64, the others the output of the stage before, which is [batch,
  // length, width]. The output of the last: the logits [batch, length, 256] of the byte that follows each, of which a
  // tensor parallel rank has its part of the 256.
  torch::Tensor forward(const torch::Tensor& x);

 private:
  VocabularyEmbedding byte_embedding_{nullptr};
  torch::nn::Embedding position_embedding_{nullptr};
  torch::nn::ModuleList blocks_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
  ColumnLinear head_{nullptr};
};
TORCH_MODULE(Gpt);

}  // namespace muster::train
