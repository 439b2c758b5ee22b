#include "train/gpt.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace muster::train {
namespace {

constexpr double kWeightDeviation = 0.02;

torch::nn::LayerNorm layer_norm(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}));
}

template <class Linear>
void draw_weights(Linear& linear, double deviation = kWeightDeviation) {
  torch::nn::init::normal_(linear->weight, 0.0, deviation);
  if (linear->options.bias()) torch::nn::init::zeros_(linear->bias);
}

// Layers that add to the residual stream start smaller, so that its variance does not grow with the depth.
double residual_deviation(const GptShape& shape) {
  return kWeightDeviation / std::sqrt(2.0 * static_cast<double>(shape.layers));
}

}  // namespace

SelfAttentionImpl::SelfAttentionImpl(const GptShape& shape, const mpi::CommView& group)
    : heads_(shape.heads / group.size()),
      head_width_(shape.width / shape.heads),
      qkv_(register_module("qkv", ColumnLinear(shape.width, 3 * shape.width, true, group))),
      projection_(register_module("projection", RowLinear(shape.width, shape.width, group))),
      future_(torch::ones({shape.context, shape.context}, torch::kBool).triu(1)) {
  draw_weights(qkv_);
  draw_weights(projection_, residual_deviation(shape));
}

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x) {
  const auto batch = x.size(0);
  const auto length = x.size(1);
  // [3, batch, heads, length, head_width]
  const auto qkv = qkv_->forward(x).view({batch, length, 3, heads_, head_width_}).permute({2, 0, 3, 1, 4});
  const auto scale = 1.0 / std::sqrt(static_cast<double>(head_width_));
  auto scores = torch::matmul(qkv[0], qkv[1].transpose(-2, -1)) * scale;
  const auto future = future_.narrow(0, 0, length).narrow(1, 0, length);
  scores = scores.masked_fill(future, -std::numeric_limits<float>::infinity());
  const auto mixed = torch::matmul(torch::softmax(scores, -1), qkv[2]);
  return projection_->forward(mixed.transpose(1, 2).reshape({batch, length, heads_ * head_width_}));
}

BlockImpl::BlockImpl(const GptShape& shape, const mpi::CommView& group)
    : attention_norm_(register_module("attention_norm", layer_norm(shape.width))),
      attention_(register_module("attention", SelfAttention(shape, group))),
      mlp_norm_(register_module("mlp_norm", layer_norm(shape.width))),
      widen_(register_module("widen", ColumnLinear(shape.width, 4 * shape.width, true, group))),
      narrow_(register_module("narrow", RowLinear(4 * shape.width, shape.width, group))) {
  draw_weights(widen_);
  draw_weights(narrow_, residual_deviation(shape));
}

torch::Tensor BlockImpl::forward(const torch::Tensor& x) {
  const auto attended = x + attention_->forward(attention_norm_->forward(x));
  const auto hidden = torch::gelu(widen_->forward(mlp_norm_->forward(attended)));
  return attended + narrow_->forward(hidden);
}

GptImpl::GptImpl(const GptShape& shape, const GptStage& stage, const mpi::CommView& group) {
  if (stage.is_first) {
    byte_embedding_ = register_module("byte_embedding", VocabularyEmbedding(kByteValues, shape.width, group));
    position_embedding_ = register_module("position_embedding", torch::nn::Embedding(shape.context, shape.width));
  }
  blocks_ = register_module("blocks", torch::nn::ModuleList());
  if (stage.is_last) {
    norm_ = register_module("norm", layer_norm(shape.width));
    head_ = register_module("head", ColumnLinear(shape.width, kByteValues, false, group));
  }
  if (stage.is_first) {
    torch::nn::init::normal_(byte_embedding_->weight, 0.0, kWeightDeviation);
    torch::nn::init::normal_(position_embedding_->weight, 0.0, kWeightDeviation);
  }
  for (std::int64_t layer = 0; layer < stage.layers; ++layer) blocks_->push_back(Block(shape, group));
  if (stage.is_last) draw_weights(head_);
}

torch::Tensor GptImpl::forward(const torch::Tensor& x) {
  auto y = x;
  if (byte_embedding_) {
    const auto positions = torch::arange(x.size(1), torch::kInt64);
    y = byte_embedding_->forward(x) + position_embedding_->forward(positions);
  }
  for (const auto& block : *blocks_) y = block->as<Block>()->forward(y);
  return head_ ? head_->forward(norm_->forward(y)) : y;
}

}  // namespace muster::train
