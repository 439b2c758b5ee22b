#include <fmt/format.h>
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

// What the call of a program must not ask for is found where all ranks agree on it.
class SavedByCall : public StateSource {
 public:
  explicit SavedByCall(const SaveArgs& args) : state_(state_of(args)), args_(args) {}
  [[nodiscard]] State describe(const DescribeContext& context) const override {
    if (args_.async_save && context.overlap_staging) {
      throw Error(ErrorKind::usage,
                  "overlap_staging needs the handle of Checkpointer::save_async, to wait for before the state changes");
    }
    const auto& options = args_.options;
    if (args_.num_kept_ckpts && options.retention.newest && args_.num_kept_ckpts != options.retention.newest) {
      throw Error(ErrorKind::usage, fmt::format("num_kept_ckpts is {}, and options.retention.newest is {}",
                                                *args_.num_kept_ckpts, *options.retention.newest));
    }
    if (args_.parallel.grid != Grid() && options.grid != Grid() && args_.parallel.grid != options.grid) {
      throw Error(ErrorKind::usage, fmt::format("parallel.grid is {}, and options.grid is {}",
                                                to_string(args_.parallel.grid), to_string(options.grid)));
    }
    return state_.describe(context);
  }
  [[nodiscard]] LoadTarget prepare(const CheckpointContents& contents, const PrepareContext& context) const override {
    return state_.prepare(contents, context);
  }

 private:
  TrainingState state_;
  const SaveArgs& args_;
};

CheckpointerOptions run_options_of(const SaveArgs& args) {
  auto options = args.options;
  if (args.num_kept_ckpts) options.retention.newest = args.num_kept_ckpts;
  if (args.parallel.grid != Grid()) options.grid = args.parallel.grid;
  return options;
}

}  // namespace

SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args) {
  const SaveOptions options{.tag = args.tag,
                            .step = args.step,
                            .user_content = args.user_content,
                            .async = args.async,
                            .num_workers = args.num_workers,
                            .replace_existing = args.replace_existing,
                            .reason = args.reason};
  auto& checkpointer = shared_checkpointer(comm, directory, run_options_of(args));
  const SavedByCall state(args);
  return args.async_save ? checkpointer.save_async(state, options).report() : checkpointer.save(state, options);
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
