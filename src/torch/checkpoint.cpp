#include <mpi.h>

#include <map>
#include <muster/torch.hpp>
#include <string>

#include "torch/torch_errors.hpp"

namespace muster {

namespace {

// What the two calls are given, as the only objects of their kinds.
template <class Args>
TrainingState state_of(const Args& args) {
  TrainingState state;
  const auto& parallel = args.parallel;
  const bool is_cut = !parallel.rules.empty() || parallel.global_key;
  if (args.model.given()) {
    state.add_model(args.model, {.rules = parallel.rules, .global_key = parallel.global_key});
  } else if (args.optimizer.given() && is_cut) {
    // Then the optimizer's parameters need names, and this model has none of them.
    static std::map<std::string, torch::Tensor> nothing;
    state.add_model(nothing, {.rules = parallel.rules, .global_key = parallel.global_key});
  }
  OptimizerOptions options{.parts = parallel.optimizer_parts};
  if constexpr (requires { args.avoid_saving_lower_precision_weights; }) {
    options.avoid_saving_lower_precision_weights = args.avoid_saving_lower_precision_weights;
  }
  // The parts of a model may be loaded without an optimizer.
  if (args.optimizer.given() || !options.parts.empty()) state.add_optimizer(args.optimizer, std::move(options));
  if (args.scheduler.given()) state.add_scheduler(args.scheduler);
  if (args.rng) state.add_rng();
  state.ignore_other_objects();
  return state;
}

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

}  // namespace

SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args) {
  return shared_checkpointer(comm, directory).save(state_of(args), options_of(args));
}

SaveHandle save_checkpoint_async(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args) {
  return shared_checkpointer(comm, directory).save_async(state_of(args), options_of(args));
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
  options.grid = args.parallel.grid;
  options.check = args.check;
  return shared_checkpointer(comm, directory).load(state_of(args), options);
}

std::optional<nlohmann::json> load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory,
                                              const LoadArgs& args) {
  return load_checkpoint_report(comm, directory, args).user_content;
}

}  // namespace muster
