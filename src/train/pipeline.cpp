#include "train/pipeline.hpp"

#include <vector>

#include "train/tensor_bytes.hpp"
#include "train/token_loss.hpp"

namespace muster::train {
namespace {

std::vector<Sequences> cut(const Sequences& sequences, std::int64_t parts) {
  std::vector<Sequences> cut;
  const auto count = sequences.inputs.size(0);
  for (std::int64_t part = 0; part < parts; ++part) {
    const auto first = count * part / parts;
    const auto size = count * (part + 1) / parts - first;
    if (size > 0) cut.push_back({sequences.inputs.narrow(0, first, size), sequences.targets.narrow(0, first, size)});
  }
  return cut;
}

// What a stage keeps of a micro-batch from its forward to its backward pass.
struct Passed {
  torch::Tensor input;
  torch::Tensor output;  // of the last stage: the weighted loss
};

}  // namespace

double Pipeline::run(const Sequences& sequences, double weight, Gradients& gradients) {
  const auto& stages = ranks_.pipeline();
  const bool is_first = stages.rank() == 0;
  const bool is_last = stages.rank() == stages.size() - 1;
  double share = 0;
  std::vector<Passed> passed;
  for (const auto& micro_batch : cut(sequences, settings_.micro_batches)) {
    auto input = is_first ? micro_batch.inputs : receive(micro_batch);
    auto output = model_->forward(input);
    if (is_last) {
      const auto tokens = micro_batch.targets.numel();
      const auto logits = output.view({tokens, -1});
      const auto losses = token_losses(logits, micro_batch.targets.reshape({tokens}), kByteValues, ranks_.tensor());
      share += losses.detach().sum(torch::kFloat64).item<double>() * weight;
      output = losses.sum() * weight;
    } else {
      stages.send(bytes_of(output.detach().contiguous()), stages.rank() + 1);
    }
    passed.push_back({input, output});
  }
  for (auto& [input, output] : passed) {
    if (is_last) {
      output.backward();
    } else {
      const auto gradient = torch::empty(output.sizes(), output.options().requires_grad(false));
      stages.receive(bytes_of(gradient), stages.rank() + 1);
      output.backward(gradient);
    }
    gradients.collect();
    if (!is_first) stages.send(bytes_of(input.grad().contiguous()), stages.rank() - 1);
    output.reset();
    input.reset();
  }
  return share;
}

torch::Tensor Pipeline::receive(const Sequences& micro_batch) const {
  const auto dtype = model_->parameters().front().scalar_type();
  auto input = torch::empty({micro_batch.inputs.size(0), micro_batch.inputs.size(1), settings_.width}, dtype);
  ranks_.pipeline().receive(bytes_of(input), ranks_.pipeline().rank() - 1);
  return input.requires_grad_(true);
}

}  // namespace muster::train
