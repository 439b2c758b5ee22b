#pragma once
// The saves of a run, at once or in the background.

#include <cstdint>
#include <deque>
#include <functional>
#include <muster/policy.hpp>
#include <muster/torch.hpp>
#include <string>

#include "base/clock.hpp"
#include "mpi/comm.hpp"
#include "train/options.hpp"
#include "train/progress.hpp"
#include "train/save_supply.hpp"

namespace muster::train {

// A megabyte of an option or a message: 10^6 bytes.
inline constexpr double kBytesPerMb = 1e6;

class Saves {
 public:
  // How the state after a step is saved, under a tag.
  using Describe = std::function<SaveOptions(const std::string& tag)>;

  // All of these must outlive it.
  Saves(const mpi::CommView& comm, const Options& options, Progress& progress, Checkpointer& checkpoints,
        Describe describe, const StateSource& state);
  // Waits until nothing of the model is being copied any more.
  ~Saves() { wait_staged(); }
  Saves(const Saves&) = delete;
  Saves& operator=(const Saves&) = delete;

  // The rest is collective over comm.

  // Where the run starts from: the state after this step is saved already.
  void resume_at(std::int64_t finished_step) { finished_step_ = finished_step; }
  // After a step: what is described from here on is the state after it. Whether it is to be saved.
  bool begin_step(std::int64_t finished_step);
  // Whether the run is to end before its last step.
  [[nodiscard]] bool should_stop() const;
  // Saves the state where it is due, and tells of saves that have ended.
  void save_if_due();
  // With --always-saving, in its turn: so many saves of what the last step left that one is always being written.
  void keep_saving(SavePoint here);
  // Before parameters change.
  void wait_staged();
  // Until all are in the file.
  void finish();
  // Ends the program; see SavePolicy::requeue.
  [[noreturn]] void requeue();

 private:
  struct InFlight {
    SaveHandle handle;
    double begun_s;
  };

  // False where it is left out.
  bool save_in_background(const SaveOptions& save);
  int saves_to_begin(SavePoint here);
  void tell_of(const InFlight& save, const SaveReport& report);
  void tell(const SaveReport& report);
  void tell_of_ended();

  mpi::CommView comm_;
  const Options& options_;
  Progress& progress_;
  Checkpointer& checkpoints_;
  Describe describe_;
  const StateSource& state_;
  SavePolicy policy_;
  bool due_ = false;
  std::deque<InFlight> in_flight_;  // with --async, oldest first
  std::int64_t finished_step_ = 0;
  // With --always-saving.
  std::int64_t extra_saves_ = 0;  // of the last step
  SaveSupply supply_;
  Stopwatch running_;
};

}  // namespace muster::train
