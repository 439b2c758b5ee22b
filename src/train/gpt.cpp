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

void draw_weights(torch::nn::Linear& linear, double deviation = kWeightDeviation) {
  torch::nn::init::normal_(linear->weight, 0.0, deviation);
  if (linear->options.bias()) torch::nn::init::zeros_(linear->bias);
}

// Layers that add to the residual stream start smaller, so that its variance does not grow with the depth.
double residual_deviation(const GptShape& shape) {
  return kWeightDeviation / std::sqrt(2.0 * static_cast<double>(shape.layers));
}

}  // namespace

SelfAttentionImpl::SelfAttentionImpl(const GptShape& shape)
    : heads_(shape.heads),
      qkv_(register_module("qkv", torch::nn::Linear(shape.width, 3 * shape.width))),
      projection_(register_module("projection", torch::nn::Linear(shape.width, shape.width))),
      future_(torch::ones({shape.context, shape.context}, torch::kBool).triu(1)) {
  draw_weights(qkv_);
  draw_weights(projection_, residual_deviation(shape));
}

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x) {
  const auto batch = x.size(0);
  const auto length = x.size(1);
  const auto width = x.size(2);
  const auto head_width = width / heads_;
  // [3, batch, heads, length, head_width]
  const auto qkv = qkv_->forward(x).view({batch, length, 3, heads_, head_width}).permute({2, 0, 3, 1, 4});
  const auto scale = 1.0 / std::sqrt(static_cast<double>(head_width));
  auto scores = torch::matmul(qkv[0], qkv[1].transpose(-2, -1)) * scale;
  const auto future = future_.narrow(0, 0, length).narrow(1, 0, length);
  scores = scores.masked_fill(future, -std::numeric_limits<float>::infinity());
  const auto mixed = torch::matmul(torch::softmax(scores, -1), qkv[2]);
  return projection_->forward(mixed.transpose(1, 2).reshape({batch, length, width}));
}

BlockImpl::BlockImpl(const GptShape& shape)
    : attention_norm_(register_module("attention_norm", layer_norm(shape.width))),
      attention_(register_module("attention", SelfAttention(shape))),
      mlp_norm_(register_module("mlp_norm", layer_norm(shape.width))),
      widen_(register_module("widen", torch::nn::Linear(shape.width, 4 * shape.width))),
      narrow_(register_module("narrow", torch::nn::Linear(4 * shape.width, shape.width))) {
  draw_weights(widen_);
  draw_weights(narrow_, residual_deviation(shape));
}

torch::Tensor BlockImpl::forward(const torch::Tensor& x) {
  const auto attended = x + attention_->forward(attention_norm_->forward(x));
  const auto hidden = torch::gelu(widen_->forward(mlp_norm_->forward(attended)));
  return attended + narrow_->forward(hidden);
}

GptImpl::GptImpl(const GptShape& shape)
    : byte_embedding_(register_module("byte_embedding", torch::nn::Embedding(kByteValues, shape.width))),
      position_embedding_(register_module("position_embedding", torch::nn::Embedding(shape.context, shape.width))),
      blocks_(register_module("blocks", torch::nn::ModuleList())),
      norm_(register_module("norm", layer_norm(shape.width))),
      head_(
          register_module("head", torch::nn::Linear(torch::nn::LinearOptions(shape.width, kByteValues).bias(false)))) {
  torch::nn::init::normal_(byte_embedding_->weight, 0.0, kWeightDeviation);
  torch::nn::init::normal_(position_embedding_->weight, 0.0, kWeightDeviation);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) blocks_->push_back(Block(shape));
  draw_weights(head_);
}

torch::Tensor GptImpl::forward(const torch::Tensor& bytes) {
  const auto positions = torch::arange(bytes.size(1), torch::kInt64);
  auto x = byte_embedding_->forward(bytes) + position_embedding_->forward(positions);
  for (const auto& block : *blocks_) x = block->as<Block>()->forward(x);
  return head_->forward(norm_->forward(x));
}

}  // namespace muster::train
