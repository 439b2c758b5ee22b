#pragma once
// The training run: model, optimizer and schedule, the steps, and the checkpoints in between.

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <muster/torch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/gpt.hpp"
#include "train/options.hpp"
#include "train/parted_optimizer.hpp"
#include "train/pipeline.hpp"
#include "train/progress.hpp"
#include "train/ranks.hpp"
#include "train/saves.hpp"
#include "train/step_log.hpp"
#include "train/step_samples.hpp"
#include "train/text.hpp"

namespace muster::train {

class Trainer {
 public:
  // Collective over the world. Builds each rank's part of the model, with weights that depend on the seed alone. Throws
  // AgreedError{usage} where the model cannot be cut over the grid. All of the arguments must outlive it.
  Trainer(const Ranks& ranks, const Options& options, const Text& text);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  // Collective over the world. Resumes where options say so, trains and saves up to the last step. False where it was
  // told to stop before; what was reached is saved.
  bool run();
  // Collective. Throws what a save in the background failed with.
  void finalize() { checkpoints_.finalize(); }
  // Collective, after that. Ends the program and asks Slurm to start the job again.
  [[noreturn]] void requeue() { saves_.requeue(); }

 private:
  // Forward and backward of this rank's sequences, the sum of all gradients, the update, the lines of the logs.
  // Returns the loss before the update.
  double train_step(std::int64_t step);
  // Returns this rank's share of the mean loss.
  double compute_gradients(const std::vector<std::uint64_t>& samples);
  // Collective. The samples that the data parallel ranks took in a step, in their order, on rank 0; "" elsewhere.
  [[nodiscard]] std::string samples_of_all(const std::vector<std::uint64_t>& samples) const;
  // What is saved and loaded together.
  [[nodiscard]] TrainingState training_state();
  [[nodiscard]] SaveOptions save_options(const std::string& tag) const;
  [[noreturn]] void crash();

  const Ranks& ranks_;
  const Options& options_;
  const Text& text_;
  StepSamples samples_;
  GptStage stage_;
  Gpt model_{nullptr};
  std::optional<PartedOptimizer> optimizer_;
  std::unique_ptr<torch::optim::StepLR> scheduler_;
  std::optional<Pipeline> pipeline_;
  std::optional<StepLog> loss_log_;    // on rank 0
  std::optional<StepLog> sample_log_;  // on rank 0
  Progress progress_;
  std::int64_t finished_steps_ = 0;
  double last_loss_ = 0;
  Checkpointer checkpoints_;
  TrainingState state_;
  Saves saves_;
};

}  // namespace muster::train
