#pragma once
// The objects of a TrainingState, in the order in which they were added.

#include <functional>
#include <muster/torch/training_state.hpp>
#include <string>
#include <vector>

namespace muster {

struct TrainingState::Objects {
  struct Model {
    std::string name;
    ModelRef model;
    ModelOptions options;
  };
  struct Optimizer {
    std::string name;
    OptimizerRef optimizer;
    std::vector<std::string> models;  // names
    OptimizerOptions options;
  };
  struct Scheduler {
    std::string name;
    SchedulerRef scheduler;
  };
  // What has a name of its own, below /tensors, /documents or /per_rank/<rank>.
  struct Entry {
    std::string name;
    bool is_per_rank = false;
    TakenRanks take = {};  // if it is per rank
  };
  struct OneTensor : Entry {
    torch::Tensor* tensor = nullptr;
    TensorOptions options;
  };
  struct TensorList : Entry {
    std::vector<torch::Tensor>* tensors = nullptr;
    TensorOptions options;
  };
  struct DocumentEntry : Entry {
    std::function<nlohmann::json()> save;
    std::function<void(const nlohmann::json&)> load;
  };

  std::vector<Model> models;
  std::vector<Optimizer> optimizers;
  std::vector<Scheduler> schedulers;
  std::vector<OneTensor> tensors;
  std::vector<TensorList> lists;
  std::vector<DocumentEntry> documents;
  bool rng = false;
  bool ignores_others = false;  // of the checkpoint
};

}  // namespace muster
