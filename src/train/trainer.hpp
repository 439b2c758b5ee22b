#pragma once
// The training run: model, optimizer and schedule, the steps, and the checkpoints in between.

#include <torch/torch.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <muster/torch.hpp>
#include <optional>

#include "mpi/comm.hpp"
#include "train/gpt.hpp"
#include "train/gradients.hpp"
#include "train/loss_log.hpp"
#include "train/options.hpp"
#include "train/progress.hpp"
#include "train/text.hpp"

namespace muster::train {

class Trainer {
 public:
  // Collective over comm. Builds the model, with the same weights on all ranks.
  Trainer(const mpi::CommView& comm, const Options& options, const Text& text);
  // Waits until nothing of the model is being copied any more.
  ~Trainer() { wait_staged(); }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  // Collective. Resumes where options say so, trains and saves up to the last step.
  void run();

 private:
  void resume();
  void compare_with(const nlohmann::json& user_content, const std::string& tag);
  // One step: forward and backward of this rank's sequences, the sum of all gradients, the update, the line of the
  // loss log. Returns the loss before the update.
  double train_step(std::int64_t step);
  // Forward and backward of this rank's sequences; returns its share of the mean loss.
  double compute_gradients(std::int64_t step);
  [[nodiscard]] SaveArgs save_args(const std::string& tag) const;
  void save(std::int64_t step);
  [[nodiscard]] bool save_is_due(std::int64_t step) const;
  // False where it is left out.
  bool save_in_background(SaveArgs& args);
  // With --always-saving: so many saves of what the last step left that one is always being written.
  void keep_saving();
  void wait_staged();
  void tell(const SaveReport& report);
  void tell_of_ended();
  [[noreturn]] void crash();

  mpi::CommView comm_;
  const Options& options_;
  const Text& text_;
  BatchPart part_;
  Gpt model_{nullptr};
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  std::unique_ptr<torch::optim::StepLR> scheduler_;
  std::optional<Gradients> gradients_;
  std::optional<LossLog> loss_log_;  // on rank 0
  Progress progress_;
  std::int64_t finished_steps_ = 0;
  double last_loss_ = 0;
  std::deque<SaveHandle> in_flight_;  // with --async, oldest first
  std::int64_t extra_saves_ = 0;      // of the last step, with --always-saving
};

}  // namespace muster::train
