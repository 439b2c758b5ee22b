#pragma once
// A byte-level GPT: learned positions, pre-norm blocks of causal self-attention and a GELU MLP. No dropout: the loss
// of a batch is a pure function of the weights.

#include <torch/torch.h>

#include <cstdint>

namespace muster::train {

inline constexpr std::int64_t kByteValues = 256;

struct GptShape {
  std::int64_t context = 0;
  std::int64_t layers = 0;
  std::int64_t width = 0;
  std::int64_t heads = 0;
};

class SelfAttentionImpl : public torch::nn::Module {
 public:
  explicit SelfAttentionImpl(const GptShape& shape);
  torch::Tensor forward(const torch::Tensor& x);  // [batch, length, width], length <= context

 private:
  std::int64_t heads_;
  torch::nn::Linear qkv_;
  torch::nn::Linear projection_;
  torch::Tensor future_;  // [context, context]: true where the key comes after the query. Derived, so not saved
};
TORCH_MODULE(SelfAttention);

class BlockImpl : public torch::nn::Module {
 public:
  explicit BlockImpl(const GptShape& shape);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::nn::LayerNorm attention_norm_;
  SelfAttention attention_;
  torch::nn::LayerNorm mlp_norm_;
  torch::nn::Linear widen_;
  torch::nn::Linear narrow_;
};
TORCH_MODULE(Block);

class GptImpl : public torch::nn::Module {
 public:
  // Weights are drawn from Torch's default generator.
  explicit GptImpl(const GptShape& shape);
  // [batch, length] bytes as int64 -> [batch, length, 256] logits of the byte that follows each.
  torch::Tensor forward(const torch::Tensor& bytes);

 private:
  torch::nn::Embedding byte_embedding_;
  torch::nn::Embedding position_embedding_;
  torch::nn::ModuleList blocks_;
  torch::nn::LayerNorm norm_;
  torch::nn::Linear head_;
};
TORCH_MODULE(Gpt);

}  // namespace muster::train
