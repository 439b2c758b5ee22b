#pragma once
// Forward and backward pass through the stages of a pipeline: every stage sends what it made of a micro-batch to the
// next, and the gradient of what it was given back to the one before. All forward passes come first, then all backward
// passes (GPipe).

#include <torch/torch.h>

#include <cstdint>

#include "train/gpt.hpp"
#include "train/gradients.hpp"
#include "train/ranks.hpp"
#include "train/text.hpp"

namespace muster::train {

class Pipeline {
 public:
  struct Settings {
    std::int64_t micro_batches = 1;  // that a rank's sequences are cut into, as far as there are sequences
    std::int64_t width = 0;          // of the model
  };

  // Ranks must outlive it.
  Pipeline(const Ranks& ranks, const Gpt& model, const Settings& settings)
      : ranks_(ranks), model_(model), settings_(settings) {}

  // Collective over the stages and tensor parallel ranks that share these sequences, of which each has the same; local
  // where the model is whole. Adds to the gradients those of weight * the sum of all tokens' losses; returns this sum
  // on the ranks of the last stage, 0 on the others. Where it throws on a rank others may be waiting for that rank, so
  // that the job has to end.
  double run(const Sequences& sequences, double weight, Gradients& gradients);

 private:
  [[nodiscard]] torch::Tensor receive(const Sequences& micro_batch) const;

  const Ranks& ranks_;
  Gpt model_;
  Settings settings_;
};

}  // namespace muster::train
