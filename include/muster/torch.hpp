#pragma once
// The two calls for LibTorch programs: modules, optimizers, LR schedulers and user content to and from one HDF5 file.
//
//   muster::save_checkpoint(comm, "ckpts", {.tag = "step_100", .model = model, .optimizer = optimizer,
//                           .scheduler = scheduler, .user_content = {{"total_steps", 100}}, .num_kept_ckpts = 5});
//   auto user_content = muster::load_checkpoint(comm, "ckpts", {.model = model, .optimizer = optimizer});
//
// Where things go in the file: parameters and buffers to /model/<key>, keys as in the module's state_dict; optimizer
// state to /optimizer/<key>/<slot>, its options to /optimizer/param_groups; /scheduler, /user_content; the generator
// states of all ranks, where asked for, to /rng/cpu, one row a rank.

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
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>

namespace MUSTER_EXPORT muster {

// A module to save or load: a Module, a ModuleHolder or a shared_ptr to a Module; absent by default. Keeps a plain
// pointer: the module must outlive the call. A null pointer or empty holder is given but null: Error{usage} in the
// call.
class ModelRef {
 public:
  ModelRef() = default;
  ModelRef(torch::nn::Module& module) : given_(true), module_(&module) {}
  template <class M>
  requires std::derived_from<M, torch::nn::Module> ModelRef(const std::shared_ptr<M>& module)
      : given_(true), module_(module.get()) {}
  template <class M>
  ModelRef(const torch::nn::ModuleHolder<M>& holder)
      : given_(true), module_(holder.is_empty() ? nullptr : holder.ptr().get()) {}
  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] torch::nn::Module* get() const { return module_; }

 private:
  bool given_ = false;
  torch::nn::Module* module_ = nullptr;
};

// An optimizer to save or load: SGD, Adam, AdamW, Adagrad, RMSprop, LBFGS; any other is Error{usage}. Absent by
// default; a plain pointer, as with ModelRef.
class OptimizerRef {
 public:
  OptimizerRef() = default;
  OptimizerRef(torch::optim::Optimizer& optimizer) : given_(true), optimizer_(&optimizer) {}
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(const std::shared_ptr<O>& optimizer)
      : given_(true), optimizer_(optimizer.get()) {}
  template <class O>
  requires std::derived_from<O, torch::optim::Optimizer> OptimizerRef(const std::unique_ptr<O>& optimizer)
      : given_(true), optimizer_(optimizer.get()) {}
  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] torch::optim::Optimizer* get() const { return optimizer_; }

 private:
  bool given_ = false;
  torch::optim::Optimizer* optimizer_ = nullptr;
};

// How muster saves and loads a learning-rate scheduler. Specialise it for a scheduler of your own, or give that class
// `nlohmann::json state_dict() const` and `void load_state_dict(const nlohmann::json&)`, which the default uses.
//   save:  the state as JSON, by value.
//   load:  restores it; runs once all tensors and the optimizer are restored, on every rank.
//   check: optional; throws where `load` would, and changes nothing. Runs before anything is changed, so that a state
//          that does not fit leaves model, optimizer and scheduler alone. The default calls
//          `void check_state_dict(const nlohmann::json&) const` where the class has it.
//   name:  optional; what the file calls this kind of scheduler, "custom" without it. A load into a scheduler of
//          another name is a mismatch.
template <class Scheduler>
struct SchedulerTraits {
  static nlohmann::json save(const Scheduler& scheduler) { return scheduler.state_dict(); }
  static void check(const Scheduler& scheduler, const nlohmann::json& state) {
    if constexpr (requires { scheduler.check_state_dict(state); }) scheduler.check_state_dict(state);
  }
  static void load(Scheduler& scheduler, const nlohmann::json& state) { scheduler.load_state_dict(state); }
};

// The library's schedulers: the position is saved; step_size and gamma are saved and must agree on load. The learning
// rates themselves are options of the optimizer.
template <>
struct SchedulerTraits<torch::optim::StepLR> {
  static std::string name(const torch::optim::StepLR& scheduler);
  static nlohmann::json save(const torch::optim::StepLR& scheduler);
  static void check(const torch::optim::StepLR& scheduler, const nlohmann::json& state);
  static void load(torch::optim::StepLR& scheduler, const nlohmann::json& state);
};

// Through a reference to the base class: a StepLR is saved as a StepLR, any other as its step count.
template <>
struct SchedulerTraits<torch::optim::LRScheduler> {
  static std::string name(const torch::optim::LRScheduler& scheduler);
  static nlohmann::json save(const torch::optim::LRScheduler& scheduler);
  static void check(const torch::optim::LRScheduler& scheduler, const nlohmann::json& state);
  static void load(torch::optim::LRScheduler& scheduler, const nlohmann::json& state);
};

// A scheduler derived from LRScheduler without a state of its own but the step count.
template <class Scheduler>
requires std::derived_from<Scheduler, torch::optim::LRScheduler> &&
    (!requires(const Scheduler& s) { s.state_dict(); }) struct SchedulerTraits<Scheduler>
    : SchedulerTraits<torch::optim::LRScheduler> {
};

#if MUSTER_HAS_REDUCE_LR_ON_PLATEAU
// Saved as "ReduceLROnPlateau", with the names of PyTorch's state_dict: best, cooldown_counter, num_bad_epochs and
// last_epoch are saved and loaded; mode, factor, patience, threshold, threshold_mode, cooldown, min_lrs and eps are
// saved and must agree on load.
template <>
struct SchedulerTraits<torch::optim::ReduceLROnPlateauScheduler> {
  static std::string name(const torch::optim::ReduceLROnPlateauScheduler& scheduler);
  static nlohmann::json save(const torch::optim::ReduceLROnPlateauScheduler& scheduler);
  static void check(const torch::optim::ReduceLROnPlateauScheduler& scheduler, const nlohmann::json& state);
  static void load(torch::optim::ReduceLROnPlateauScheduler& scheduler, const nlohmann::json& state);
};

// A scheduler derived from it without a state of its own.
template <class Scheduler>
requires std::derived_from<Scheduler, torch::optim::ReduceLROnPlateauScheduler> &&
    (!requires(const Scheduler& s) { s.state_dict(); }) struct SchedulerTraits<Scheduler>
    : SchedulerTraits<torch::optim::ReduceLROnPlateauScheduler> {
};
#endif

template <class T>
inline constexpr bool is_smart_pointer = false;
template <class T>
inline constexpr bool is_smart_pointer<std::shared_ptr<T>> = true;
template <class T>
inline constexpr bool is_smart_pointer<std::unique_ptr<T>> = true;

// A scheduler to save or load: anything SchedulerTraits knows, or a shared_ptr or unique_ptr to it; absent by default.
// Keeps a plain pointer to it, as ModelRef does.
class SchedulerRef {
 public:
  SchedulerRef() = default;
  template <class S>
  requires(!std::same_as<S, SchedulerRef> && !std::is_const_v<S> && !is_smart_pointer<S>) SchedulerRef(S& scheduler) {
    bind(&scheduler);
  }
  template <class S>
  SchedulerRef(const std::shared_ptr<S>& scheduler) {
    bind(scheduler.get());
  }
  template <class S>
  SchedulerRef(const std::unique_ptr<S>& scheduler) {
    bind(scheduler.get());
  }
  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] bool null() const { return !save_; }  // absent, or a null pointer

  // What the traits of the scheduler do; none of them where null().
  [[nodiscard]] std::string name() const { return name_(); }
  [[nodiscard]] nlohmann::json save() const { return save_(); }
  void check(const nlohmann::json& state) const { check_(state); }
  void load(const nlohmann::json& state) const { load_(state); }

 private:
  template <class S>
  void bind(S* scheduler) {
    using Traits = SchedulerTraits<S>;
    given_ = true;
    if (scheduler == nullptr) return;
    name_ = [scheduler]() -> std::string {
      if constexpr (requires { Traits::name(*scheduler); }) {
        return Traits::name(*scheduler);
      } else {
        return "custom";
      }
    };
    save_ = [scheduler] { return Traits::save(*scheduler); };
    check_ = [scheduler](const nlohmann::json& state) {
      if constexpr (requires { Traits::check(*scheduler, state); }) Traits::check(*scheduler, state);
    };
    load_ = [scheduler](const nlohmann::json& state) { Traits::load(*scheduler, state); };
  }

  bool given_ = false;
  std::function<std::string()> name_;
  std::function<nlohmann::json()> save_;
  std::function<void(const nlohmann::json&)> check_;
  std::function<void(const nlohmann::json&)> load_;
};

// A parameter of the optimizer that stands for a range of the elements of one of the model's on this rank: ZeRO-1,
// where each rank of a data parallel group steps a part of every parameter, and masters in float32 of parameters in
// bfloat16.
// Where any rank has a part of a parameter, every rank that has the parameter gives one: of an empty range, with an
// empty tensor of the dtype of the others that no optimizer needs to have, where it steps nothing of it.
struct OptimizerPart {
  torch::Tensor optimized;  // as the optimizer has it: one dimension, as long as the range
  torch::Tensor parameter;  // of the model; row-major dense
  ElementRange range;       // of its elements. chunk_of_rows() makes good ones
};

// How this rank's module and optimizer are parts of the job's. All of it may differ in a load from what it was in the
// save. Ranks of one pipeline stage, expert group and tensor parallel group hold replicas of each other.
struct Parallelism {
  Grid grid = {};
  // By global keys. Where no rule matches, the tensor is whole on every rank that has the key, and all of them are
  // taken to hold the same values: nobody compares them.
  std::vector<ShardingRule> rules = {};
  // What a key of this rank's module is called in the job's, where they differ: pipeline stages number their layers
  // from 0, expert groups their experts. Unset: the same. Local; no two keys of a rank may become one.
  std::function<std::string(const std::string& key)> global_key = {};
  // A part's optimizer state is saved under the key and the global shape of its parameter. Where its dtype is another
  // than the parameter's, its values are too, with the optimizer, as the slot "master". After a load, parts of the
  // parameter's dtype have the parameter's values; so have masters that the checkpoint lacks or that were not to be
  // loaded. A parameter that lies in the checkpoint in another dtype is made from its master where that has the right
  // one; one that was left out, in the dtype that it had, too. Of several names of one tensor the first one counts. A
  // parameter without a part is the optimizer's own, or not in it. LBFGS cannot be in parts. With a grid that cuts,
  // rules, global keys or parts, every parameter of the optimizer must be one of the model's or a part: Error{usage}
  // otherwise.
  std::vector<OptimizerPart> optimizer_parts = {};
};

// What save_checkpoint takes; every part is optional but the tag. Fields of the same name as in SaveOptions mean the
// same. Without `parallel` ranks hold replicas: every rank passes the same module and optimizer.
struct SaveArgs {
  std::string tag = {};
  ModelRef model = {};
  OptimizerRef optimizer = {};
  SchedulerRef scheduler = {};
  nlohmann::json user_content = nullptr;
  bool use_xser = true;
  bool async_save = false;
  AsyncOptions async = {};
  std::optional<int> num_kept_ckpts = std::nullopt;
  std::optional<int> num_workers = std::nullopt;
  bool rng = false;  // save the state of each rank's default CPU generator
  std::optional<std::int64_t> step = std::nullopt;
  bool replace_existing = false;
  EngineChoice engine = EngineChoice::automatic;
  std::map<std::string, std::string> hints = {};
  std::string reason = {};
  Parallelism parallel = {};
  // Leave a model's parameter out of the file where its optimizer part is a master of higher precision: a load makes it
  // again from the master, rounded to nearest as Torch does, so bit for bit where it was made from it (but for the bits
  // of NaNs). The file says which dtype it had; a load into another one but the master's is a mismatch without
  // LoadArgs::convert_dtypes. Needs the optimizer; masters of which every rank's part is empty are a mismatch.
  bool avoid_saving_lower_precision_weights = false;
};

// What load_checkpoint takes; parts that are not given are not loaded. Fields of the same name as in LoadOptions mean
// the same. `only` leaves the state of other parameters as it is, but options of the optimizer are loaded.
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
  bool rng = false;  // restore this rank's generator; a rank that the saving job did not have keeps its own
  Parallelism parallel = {};
  // Local; called on every rank with what the checkpoint holds, its user content among it, before anything is compared
  // or loaded. An Error that it throws ends the load, on all ranks; but without a tag Error{corrupt} passes over this
  // checkpoint, with a warning, and the next older one is shown and tried.
  std::function<void(const CheckpointContents&)> check = {};
};

// Collective. Saves what is given; see Checkpointer::save for durability and errors, plus usage for tensors that are
// sparse or quantized, an optimizer of an unknown class, or one parameter twice in the optimizer.
// Optimizer state is keyed by the names of the model's parameters; of an optimizer without its model, by position.
SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args);

// The same in the background, whatever args.async_save says; see Checkpointer::save_async for when the parameters may
// change. finalize_checkpoint(), MPI_Finalize and exit() wait for it.
SaveHandle save_checkpoint_async(MPI_Comm comm, const std::filesystem::path& directory, const SaveArgs& args);

// Collective. Loads into what is given, in place; returns the user content, or none where the checkpoint has none.
// Tensors of the model, and optimizer slots that exist already, are overwritten where they lie; missing slots are
// created as Torch would; state that the checkpoint does not have is removed. An optimizer of another class, with other
// groups or parameters, and a scheduler of another class or with other constants are a mismatch, found before anything
// changes. With strict off, that part is left as it is and listed, but for state by name of parameters that both have.
// See Checkpointer::load for errors and for what is untouched on which.
std::optional<nlohmann::json> load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory,
                                              const LoadArgs& args = {});
// The same with a report of what was loaded, skipped and warned of.
LoadReport load_checkpoint_report(MPI_Comm comm, const std::filesystem::path& directory, const LoadArgs& args = {});

// Local. The dtype of a Torch scalar type; Error{usage} for one that muster does not save.
DType to_dtype(torch::ScalarType type);
// Local. The way back; Error{usage} for a dtype that the LibTorch in use lacks: float8_e5m2 and float8_e4m3fn come with
// 2.1, their fnuz kinds with 2.2, uint16, uint32 and uint64 with 2.3, float8_e8m0fnu with 2.7.
torch::ScalarType to_scalar_type(DType dtype);

// Local. Adds a tensor under a path: dense host memory by pointer, any other through copies of ranges.
// The tensor's storage must outlive the save or load.
void add_torch_tensor(State& state, std::string path, const torch::Tensor& tensor);

}  // namespace muster
