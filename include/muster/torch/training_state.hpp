#pragma once
// What is saved and loaded together: any number of models, optimizers, schedulers, tensors and documents, under names.
//
//   muster::TrainingState state;
//   state.add_model("generator", generator);
//   state.add_model("discriminator", discriminator);
//   state.add_optimizer("generator_optimizer", generator_optimizer, {"generator"});
//   state.add_optimizer("discriminator_optimizer", discriminator_optimizer, {"discriminator"});
//   state.add_tensor("ema/decay", decay);
//   state.add_document("loader", loader_position);
//   state.per_rank().add_tensors("replay", replay);
//
//   muster::Checkpointer checkpoints(MPI_COMM_WORLD, "ckpts");
//   checkpoints.save(state, {.tag = "step_100"});
//   checkpoints.load(state);
//
// The paths in the file:
// * /models/<name>/<key>: parameters and buffers of a model, with the keys of its state_dict
// * /optimizers/<name>/<key>/<slot>: state of an optimizer. If the optimizer updates several models, <key> is
//   <model>.<key of the model>.
// * /optimizers/<name>/param_groups: options of the optimizer
// * /schedulers/<name>, /documents/<name>
// * /tensors/<name>; for a list /tensors/<name>/size and /tensors/<name>/0, 1, ...
// * /per_rank/<rank>/<name>: tensors, lists and documents that each rank has for itself
// * /model, /optimizer and /scheduler: a model, an optimizer and a scheduler that were added without a name
// * /rng/cpu: the states of the default CPU generators of all ranks
//
// All functions of this header are local. Thread safety: one thread at a time uses a TrainingState.

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <muster/checkpoint.hpp>
#include <muster/export.hpp>
#include <muster/rules.hpp>
#include <muster/torch/model_ref.hpp>
#include <muster/torch/optimizer_ref.hpp>
#include <muster/torch/scheduler_traits.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace MUSTER_EXPORT muster {

// How a model of this rank lies in the model of the job. A load may have other options than the save.
struct ModelOptions {
  // The cuts of the tensors, by global keys. If no rule matches a key, every rank that has the key holds the whole
  // tensor. muster does not compare the values of replicas. Default: no rules.
  std::vector<ShardingRule> rules = {};
  // Returns the key in the job of a key of this rank's module. The two differ if pipeline stages number their layers
  // from 0 or expert groups number their experts from 0. The function is local. It must not return one key for two keys
  // of a rank. Unset: the keys are the same. Default: unset.
  std::function<std::string(const std::string& key)> global_key = {};
  // fnmatch(3) patterns of keys. If the checkpoint has a tensor of such a key in another shape, a load gives the tensor
  // of the model the shape of the checkpoint; its gradient is dropped, and the optimizer's state follows. Such a tensor
  // must not be cut by a rule. Empty: another shape is a mismatch. Default: empty.
  std::vector<std::string> resizable = {};
};

// How an optimizer of this rank lies in the job.
struct OptimizerOptions {
  // The optimizer parts of this rank. They require models. Default: none.
  // * A save stores the optimizer state of a part under the key and the global shape of its parameter. If the dtypes of
  //   the part and of its parameter differ, the part is a master, and its values are saved as the slot "master".
  // * After a load, parts of the parameter's dtype have the values of the parameter. This is also true for masters that
  //   the checkpoint lacks or that the load does not select.
  // * A load makes a parameter of this job from its master if the checkpoint has the master in the parameter's dtype
  //   and the parameter in another one.
  // * A load makes a parameter that the file lacks from its master, in the dtype of the master or in the dtype that
  //   the parameter had in the save. Other dtypes need convert_dtypes.
  // * If a tensor has several names, the first one is the key of its optimizer state and its master.
  // * A parameter without a part is in the optimizer itself or not at all.
  // These are CollectiveError{usage} on all ranks:
  // * shards or parts with LBFGS
  // * a parameter of the optimizer that is neither a parameter of the models nor a part, if there are rules,
  //   global_key, parts, or a tensor, pipeline or expert degree above 1
  std::vector<OptimizerPart> parts = {};
  // Leave a parameter of the model out of the file if its optimizer part is a master with larger elements. A load makes
  // the parameter from the master, rounded to nearest as Torch does. The result is equal bit for bit if the parameter
  // was made so, except for the bits of NaNs. The file records the dtype of the parameter. A load into another dtype,
  // except that of the master, is a mismatch without LoadOptions::convert_dtypes. If the parts of all ranks are empty,
  // the save fails with CollectiveError{mismatch}. Default: false.
  bool avoid_saving_lower_precision_weights = false;
};

struct TensorOptions {
  // The device of tensors that a load makes. Unset: that of the tensor before, or the CPU. Default: unset.
  std::optional<torch::Device> device = std::nullopt;
  // If the checkpoint has the tensor in another shape or dtype, or the tensor is undefined, a load replaces it by a new
  // one. Off: it is a mismatch. A list is always made anew. Default: off.
  bool resizable = false;
};

// Which of the ranks that saved a checkpoint this rank takes the content of, if the job has another number of ranks
// than the save. A local function of the number of ranks that saved, this rank, and the number of ranks now. Tensors of
// a list are joined in the order of the result. A single tensor or a document stays as it is if the result is empty,
// and a result of more than one rank is CollectiveError{usage}.
using TakenRanks = std::function<std::vector<int>(int saved_ranks, int rank, int ranks)>;
// Rank r takes the content of the saved ranks r, r + ranks, r + 2 * ranks, ...
std::vector<int> share_out_ranks(int saved_ranks, int rank, int ranks);

class TrainingState : public StateSource {
 public:
  TrainingState();
  TrainingState(TrainingState&&) noexcept;
  TrainingState& operator=(TrainingState&&) noexcept;
  ~TrainingState() override;

  // The functions below add an object. A name is not empty. Two objects of one kind with one name, a null pointer, an
  // optimizer of a model that was not added before, and an optimizer with a parameter that belongs to none of its
  // models make the next save or load fail with CollectiveError{usage} on all ranks.

  void add_model(std::string name, ModelRef model, ModelOptions options = {});
  // models: the names of the models whose parameters the optimizer updates. Empty: the keys of the state are the
  // positions of the parameters.
  void add_optimizer(std::string name, OptimizerRef optimizer, std::vector<std::string> models,
                     OptimizerOptions options = {});
  void add_scheduler(std::string name, SchedulerRef scheduler);

  // The same for the only model, optimizer and scheduler of a program. The optimizer updates the model.
  void add_model(ModelRef model, ModelOptions options = {});
  void add_optimizer(OptimizerRef optimizer, OptimizerOptions options = {});
  void add_scheduler(SchedulerRef scheduler);

  // Adds a tensor that all ranks hold with the same values. The name may contain '/', which makes groups. The object
  // keeps a reference to the variable, which a load may assign.
  void add_tensor(std::string name, torch::Tensor& tensor, TensorOptions options = {});
  // Adds a list of tensors of any shapes and dtypes, whose number may change. A load replaces the list.
  void add_tensors(std::string name, std::vector<torch::Tensor>& tensors, TensorOptions options = {});
  // Adds a JSON value. The value of rank 0 is saved. A load assigns it on all ranks.
  void add_document(std::string name, nlohmann::json& value);
  // The same through functions: `save` returns the value, and `load` takes it after all tensors are restored.
  void add_document(std::string name, std::function<nlohmann::json()> save,
                    std::function<void(const nlohmann::json&)> load);
  // Adds the default CPU generator of each rank. A rank that the saving job did not have keeps its own state.
  void add_rng();

  // Adds what each rank has for itself, under the same name on every rank: the number, shapes and dtypes of the tensors
  // may differ between ranks. A load on as many ranks as saved gives each rank its own content. On another number of
  // ranks it is CollectiveError{mismatch} without TakenRanks.
  class PerRank {
   public:
    void add_tensor(std::string name, torch::Tensor& tensor, TensorOptions options = {});
    void add_tensors(std::string name, std::vector<torch::Tensor>& tensors, TensorOptions options = {});
    void add_document(std::string name, nlohmann::json& value);
    void add_document(std::string name, std::function<nlohmann::json()> save,
                      std::function<void(const nlohmann::json&)> load);

   private:
    friend class TrainingState;
    PerRank(TrainingState& state, TakenRanks take) : state_(state), take_(std::move(take)) {}
    TrainingState& state_;
    TakenRanks take_;
  };
  PerRank per_rank(TakenRanks take = {}) { return {*this, std::move(take)}; }

  // A strict load compares the objects of the program with those of the checkpoint, and a difference is
  // CollectiveError{mismatch} that lists both. After this call a load ignores objects that only the checkpoint has: it
  // loads the objects that were added.
  void ignore_other_objects();

  // For Checkpointer.
  [[nodiscard]] State describe(const DescribeContext& context) const override;
  [[nodiscard]] LoadTarget prepare(const CheckpointContents& contents, const PrepareContext& context) const override;

  struct Objects;  // internal

 private:
  std::unique_ptr<Objects> objects_;
};

}  // namespace muster
