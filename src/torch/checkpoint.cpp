#include <mpi.h>

#include <muster/torch.hpp>

#include "torch/load_target.hpp"
#include "torch/module.hpp"
#include "torch/optimizer.hpp"
#include "torch/optimizer_parts.hpp"
#include "torch/placements.hpp"
#include "torch/rng.hpp"
#include "torch/scheduler.hpp"
#include "torch/torch_errors.hpp"

namespace muster {

namespace {

// A part that was given as a null pointer was meant to be saved or loaded: leaving it out would lose it silently.
template <class Args>
void refuse_null_parts(const Args& args) {
  const auto refuse = [](const char* part) {
    throw Error(ErrorKind::usage, std::string("the ") + part + " is a null pointer");
  };
  if (args.model.given() && args.model.get() == nullptr) refuse("model");
  if (args.optimizer.given() && args.optimizer.get() == nullptr) refuse("optimizer");
  if (args.scheduler.given() && args.scheduler.null()) refuse("scheduler");
}

int rank_in(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = 0;
  MPI_Comm_size(comm, &size);
  return size;
}

State describe(MPI_Comm comm, const SaveArgs& args) {
  refuse_null_parts(args);
  State state;
  const auto* model = args.model.get();
  const auto* optimizer = args.optimizer.get();
  using torch_adapter::Buffers;
  const auto buffers = args.async.overlap_staging ? Buffers::copied : Buffers::in_place;
  const torch_adapter::Placements placements(args.parallel, rank_in(comm), size_of(comm), model);
  const bool leaves_out = args.avoid_saving_lower_precision_weights && optimizer != nullptr;
  torch_adapter::LeftOut left_out;
  if (model != nullptr) left_out = torch_adapter::describe_module(state, *model, placements, buffers, leaves_out);
  if (optimizer != nullptr) {
    torch_adapter::describe_optimizer(state, *optimizer, model, placements, left_out);
    torch_adapter::describe_masters(state, args.parallel.optimizer_parts, placements, leaves_out);
  }
  if (args.scheduler.given()) torch_adapter::describe_scheduler(state, args.scheduler);
  if (args.rng) torch_adapter::describe_generator(state, rank_in(comm), size_of(comm));
  return state;
}

LoadTarget prepare(MPI_Comm comm, const LoadArgs& args, const CheckpointContents& contents) {
  refuse_null_parts(args);
  torch_adapter::LoadBuilder load(contents, args);
  const auto* model = args.model.get();
  auto* optimizer = args.optimizer.get();
  const torch_adapter::Placements placements(args.parallel, rank_in(comm), size_of(comm), model);
  if (model != nullptr) torch_adapter::prepare_module(load, *model, placements);
  if (optimizer != nullptr) torch_adapter::prepare_optimizer(load, *optimizer, model, placements);
  if (model != nullptr) torch_adapter::prepare_parts(load, args.parallel.optimizer_parts, placements);
  // After the optimizer: a scheduler of the program's may set learning rates when it is loaded.
  if (args.scheduler.given()) torch_adapter::prepare_scheduler(load, args.scheduler);
  if (args.rng) torch_adapter::prepare_generator(load, rank_in(comm));
  return load.take();
}

}  // namespace

namespace {

SaveOptions options_of(const SaveArgs& args) {
  SaveOptions options;
  options.tag = args.tag;
  options.step = args.step;
  options.user_content = args.user_content;
  options.num_kept_ckpts = args.num_kept_ckpts;
  options.async_save = args.async_save;
  options.async = args.async;
  options.use_xser = args.use_xser;
  options.num_workers = args.num_workers;
  options.replace_existing = args.replace_existing;
  options.engine = args.engine;
  options.hints = args.hints;
  options.reason = args.reason;
  options.grid = args.parallel.grid;
  return options;
}

// Described inside the save, so that what fails on this rank alone fails on all of them.
Checkpointer::Describe describe_later(MPI_Comm comm, const SaveArgs& args) {
  return [comm, &args] { return torch_adapter::with_short_errors([&] { return describe(comm, args); }); };
}

}  // namespace

SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args) {
  return shared_checkpointer(comm, directory).save(describe_later(comm, args), options_of(args));
}

SaveHandle save_checkpoint_async(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args) {
  return shared_checkpointer(comm, directory).save_async(describe_later(comm, args), options_of(args));
}

LoadReport load_checkpoint_report(MPI_Comm comm, const std::filesystem::path& directory, const LoadArgs& args) {
  LoadOptions options;
  options.tag = args.tag;
  options.strict = args.strict;
  options.missing = args.missing;
  options.unexpected = args.unexpected;
  options.only = args.only;
  options.renames = args.renames;
  options.convert_dtypes = args.convert_dtypes;
  options.read_once_per = args.read_once_per;
  options.each_rank_reads = args.each_rank_reads;
  options.num_workers = args.num_workers;
  const Checkpointer::Prepare prepare_here = [&](const CheckpointContents& contents) {
    if (args.check) args.check(contents);
    return torch_adapter::with_short_errors([&] { return prepare(comm, args, contents); });
  };
  return shared_checkpointer(comm, directory).load(options, prepare_here);
}

std::optional<nlohmann::json> load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory,
                                              const LoadArgs& args) {
  return load_checkpoint_report(comm, directory, args).user_content;
}

}  // namespace muster
