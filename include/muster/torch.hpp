#pragma once
// The two calls for LibTorch programs. They save and load modules, optimizers, LR schedulers and user content as one
// HDF5 file. At most one thread of a process is inside muster at a time, as checkpoint.hpp describes.
//
//   muster::save_checkpoint(comm, "ckpts", {.tag = "step_100", .model = model, .optimizer = optimizer,
//                           .scheduler = scheduler, .user_content = {{"total_steps", 100}}, .num_kept_ckpts = 5});
//   auto user_content = muster::load_checkpoint(comm, "ckpts", {.model = model, .optimizer = optimizer});
//
// The paths in the file:
// * /model/<key>: parameters and buffers, with the keys of the module's state_dict
// * /optimizer/<key>/<slot>: optimizer state
// * /optimizer/param_groups: options of the optimizer
// * /scheduler and /user_content
// * /rng/cpu: the generator states of all ranks, one row for each rank, if SaveArgs::rng is set

#include <torch/torch.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <muster/checkpoint.hpp>
#include <muster/export.hpp>
#include <muster/libtorch_version.hpp>
#include <muster/rules.hpp>
#include <muster/torch/model_ref.hpp>
#include <muster/torch/optimizer_ref.hpp>
#include <muster/torch/scheduler_traits.hpp>
#include <muster/torch/training_state.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>

namespace MUSTER_EXPORT muster {

// The relation of the module and the optimizer of this rank to those of the job. A load may have another one than the
// save. Ranks of one pipeline stage, expert group and tensor parallel group hold replicas of each other.
struct Parallelism {
  // The grid of the ranks. Default: all ranks are data parallel.
  Grid grid = {};
  // See ModelOptions. Default: no rules, and the same keys.
  std::vector<ShardingRule> rules = {};
  std::function<std::string(const std::string& key)> global_key = {};
  // The optimizer parts of this rank; see OptimizerOptions::parts. Default: none.
  std::vector<OptimizerPart> optimizer_parts = {};
};

// The arguments of save_checkpoint. Only `tag` is required. Fields that SaveOptions has as well have the same meaning,
// unit and default. Without `parallel` all ranks hold replicas, and every rank passes the same module and optimizer.
struct SaveArgs {
  std::string tag = {};
  ModelRef model = {};
  OptimizerRef optimizer = {};
  SchedulerRef scheduler = {};
  nlohmann::json user_content = nullptr;
  // Has no effect, and is here because neuronx-distributed has it: muster always writes tensor by tensor, and never
  // makes a second copy of the state. Default: on.
  bool use_xser = true;
  // Returns when the state is copied; see Checkpointer::save_async. Default: off.
  bool async_save = false;
  AsyncOptions async = {};
  // CheckpointerOptions::retention.newest. Default: unset.
  std::optional<int> num_kept_ckpts = std::nullopt;
  std::optional<int> num_workers = std::nullopt;
  bool rng = false;  // save the state of the default CPU generator of each rank; default: false
  std::optional<std::int64_t> step = std::nullopt;
  bool replace_existing = false;
  std::string reason = {};
  // What else is fixed for the run: engine, hints, alignment, deadline, takeover. num_kept_ckpts and parallel.grid take
  // the place of its retention and grid. Default: the defaults of CheckpointerOptions.
  CheckpointerOptions options = {};
  // The grid is fixed for the run.
  Parallelism parallel = {};
  // OptimizerOptions::avoid_saving_lower_precision_weights. It has no effect without `optimizer`. Default: false.
  bool avoid_saving_lower_precision_weights = false;
};

// The arguments of load_checkpoint. A model, optimizer or scheduler that is not given is not loaded. Fields that
// LoadOptions has as well have the same meaning, unit and default. `only` leaves the state of other parameters
// unchanged, but the options of the optimizer are loaded.
struct LoadArgs {
  std::optional<std::string> tag = std::nullopt;
  ModelRef model = {};
  OptimizerRef optimizer = {};
  SchedulerRef scheduler = {};
  bool strict = true;
  std::optional<OnDifference> missing = std::nullopt;
  std::optional<OnDifference> unexpected = std::nullopt;
  std::vector<std::string> only = {};
  std::map<std::string, std::string> renames = {};
  bool convert_dtypes = false;
  ReadOncePer read_once_per = ReadOncePer::job;
  bool each_rank_reads = false;
  std::optional<int> num_workers = std::nullopt;
  // Restore the state of the default CPU generator of this rank. A rank that the saving job did not have keeps its own
  // state.
  bool rng = false;  // default: false
  Parallelism parallel = {};
  // A local function that is called on every rank with the contents of the checkpoint, including its user content,
  // before anything is compared or loaded. An exception that it throws ends the load on all ranks. If no tag is given
  // and it throws Error{corrupt}, the load skips the checkpoint with a warning and tries the next older one, if there
  // is one. Default: unset.
  std::function<void(const CheckpointContents&)> check = {};
};

// Collective over comm. Saves the given objects. Checkpointer::save describes durability and errors. Further causes of
// CollectiveError{usage} on all ranks:
// * a tensor that is undefined, sparse, quantized, nested, on the meta device or without storage
// * an optimizer of an unknown class
// * a parameter that is in the optimizer twice
// * overlap_staging with async_save, because only Checkpointer::save_async returns the handle
// * num_kept_ckpts, parallel.grid or options that differ from those of an earlier save of this communicator to this
//   directory; the message names both values
// The keys of optimizer state are the names of the model's parameters. A parameter that the model lacks has the key
// param_<position>. Without the model the keys are positions.
// With async_save, finalize_checkpoint(), MPI_Finalize and exit() wait for the save, and the next call throws what it
// failed with.
SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args);

// Collective over comm. Loads into the given objects and returns the user content, or nothing if the checkpoint has
// none.
// * Tensors of the model and existing slots of the optimizer are overwritten in place.
// * The load creates missing slots as Torch does.
// * The load removes optimizer state that the checkpoint lacks, unless `strict` is off, `missing` is set to `warn` or
//   `ignore`, or `only` is given.
// * An optimizer of another class or with other groups or parameters, and a scheduler of another class or with other
//   constants, are CollectiveError{mismatch} on all ranks before anything changes. If `strict` is off, that object is
//   left unchanged and listed, except for the state by name of parameters that both optimizers have.
// Checkpointer::load describes the errors and what each of them leaves unchanged.
std::optional<nlohmann::json> load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory,
                                              const LoadArgs& args = {});
// The same as load_checkpoint, with a report of what was loaded and skipped and of the warnings.
LoadReport load_checkpoint_report(MPI_Comm comm, const std::filesystem::path& directory, const LoadArgs& args = {});

// Local. Returns the dtype of a Torch scalar type. Throws Error{usage} for a type that muster does not save.
DType to_dtype(torch::ScalarType type);
// Local. Returns the Torch scalar type of a dtype. Throws Error{usage} for a dtype that the LibTorch of this build
// lacks. Some dtypes need a minimum version of LibTorch:
// * 2.1: float8_e5m2 and float8_e4m3fn
// * 2.2: float8_e5m2fnuz and float8_e4m3fnuz
// * 2.3: uint16, uint32 and uint64
// * 2.7: float8_e8m0fnu
torch::ScalarType to_scalar_type(DType dtype);

// Local. Adds a tensor under a path. muster accesses dense host memory by pointer and all other memory by copies of
// ranges. The storage of the tensor must outlive the save or load. Throws Error{usage} for a tensor that
// save_checkpoint does not save either.
void add_torch_tensor(State& state, std::string path, const torch::Tensor& tensor);

}  // namespace muster
