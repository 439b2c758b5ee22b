#pragma once
// Before the first step: what the directory holds, and what is loaded from it.

#include <cstdint>
#include <filesystem>
#include <muster/torch.hpp>
#include <optional>

#include "mpi/comm.hpp"
#include "train/options.hpp"
#include "train/progress.hpp"
#include "train/step_samples.hpp"

namespace muster::train {

// Where a checkpoint left off.
struct Resumed {
  std::int64_t step = 0;
  std::optional<double> last_loss;
};

// Collective. Loads what options.resume says into the state and the samples, and tells of it. Nothing where the run
// starts from the start. Throws as Checkpointer::load, AgreedError{usage} where the run would write between
// checkpoints that it was not to go on from, AgreedError{corrupt} where there are some and none is sound, and
// AgreedError{mismatch} where a checkpoint does not fit in a way that its tensors do not tell.
std::optional<Resumed> resume(const mpi::CommView& comm, const Options& options, std::uint64_t text_bytes,
                              Checkpointer& checkpoints, const StateSource& state, StepSamples& samples,
                              Progress& progress);

// Collective. Takes the directory, and finds out before the first step, not at the first save, that nothing can be
// saved. Throws AgreedError{io}, CollectiveError{busy} where another job holds it.
void prepare_directory(const mpi::CommView& comm, Checkpointer& checkpoints);

}  // namespace muster::train
