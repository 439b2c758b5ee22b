#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <muster/torch/training_state.hpp>
#include <set>

#include "torch/entries.hpp"
#include "torch/load_target.hpp"
#include "torch/model_view.hpp"
#include "torch/module.hpp"
#include "torch/object_names.hpp"
#include "torch/objects.hpp"
#include "torch/optimizer.hpp"
#include "torch/optimizer_parts.hpp"
#include "torch/optimizer_view.hpp"
#include "torch/rng.hpp"
#include "torch/scheduler.hpp"
#include "torch/torch_errors.hpp"

namespace muster {

using torch_adapter::ObjectPath;

std::vector<int> share_out_ranks(int saved_ranks, int rank, int ranks) {
  std::vector<int> taken;
  for (int saved = rank; saved < saved_ranks; saved += ranks) taken.push_back(saved);
  return taken;
}

TrainingState::TrainingState() : objects_(std::make_unique<Objects>()) {}
TrainingState::TrainingState(TrainingState&&) noexcept = default;
TrainingState& TrainingState::operator=(TrainingState&&) noexcept = default;
TrainingState::~TrainingState() = default;

namespace {

// Named objects have the name in their errors; the only ones of a program need none.
template <class Work>
void naming(const std::string& name, const std::string& shown, Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    if (name.empty()) throw;
    throw Error(error.kind(), shown + ": " + error.what());
  }
}

void require_names(const TrainingState::Objects& objects) {
  std::set<std::string> seen;
  const auto add = [&](const std::string& name) {
    if (!seen.insert(name).second) throw Error(ErrorKind::usage, "two objects are called " + name);
  };
  for (const auto& model : objects.models) add(ObjectPath("model", model.name).shown());
  for (const auto& optimizer : objects.optimizers) add(ObjectPath("optimizer", optimizer.name).shown());
  for (const auto& scheduler : objects.schedulers) add(ObjectPath("scheduler", scheduler.name).shown());
  const auto add_entry = [&](const TrainingState::Objects::Entry& entry, const char* section) {
    add(fmt::format("{} {}", entry.is_per_rank ? "per-rank" : section, entry.name));
  };
  for (const auto& entry : objects.tensors) add_entry(entry, "tensor");
  for (const auto& entry : objects.lists) add_entry(entry, "tensor");
  for (const auto& entry : objects.documents) add_entry(entry, "document");
}

// The models and optimizers of a state as this rank sees them.
class Views {
 public:
  Views(const TrainingState::Objects& objects, const Grid& grid, int rank, int ranks)
      : rank_{ParallelGrid(grid, ranks), rank} {
    require_names(objects);
    for (const auto& [name, model, options] : objects.models) {
      const ObjectPath at("model", name);
      naming(name, at.shown(), [&] { models_.emplace_back(at, model, options, rank_); });
    }
    for (const auto& [name, optimizer, models, options] : objects.optimizers) {
      const ObjectPath at("optimizer", name);
      naming(name, at.shown(), [&] { optimizers_.emplace_back(at, optimizer, find(models), options, rank_); });
    }
  }
  Views(const Views&) = delete;
  Views& operator=(const Views&) = delete;

  [[nodiscard]] const std::deque<torch_adapter::ModelView>& models() const { return models_; }
  [[nodiscard]] const std::deque<torch_adapter::OptimizerView>& optimizers() const { return optimizers_; }
  // Those that update a model.
  [[nodiscard]] std::vector<const torch_adapter::OptimizerView*> of(const torch_adapter::ModelView& model) const {
    std::vector<const torch_adapter::OptimizerView*> found;
    for (const auto& optimizer : optimizers_) {
      if (optimizer.ref().given() && std::ranges::count(optimizer.models(), &model) > 0) found.push_back(&optimizer);
    }
    return found;
  }

 private:
  [[nodiscard]] std::vector<const torch_adapter::ModelView*> find(const std::vector<std::string>& names) const {
    std::vector<const torch_adapter::ModelView*> found;
    for (const auto& name : names) {
      const auto model = std::ranges::find(models_, name, [](const auto& view) { return view.at().name(); });
      if (model == models_.end()) {
        throw Error(ErrorKind::usage, "no model " + name + " was added before the optimizer that updates it");
      }
      found.push_back(&*model);
    }
    return found;
  }

  const torch_adapter::RankInGrid rank_;
  std::deque<torch_adapter::ModelView> models_;  // referred to, so they stay where they are
  std::deque<torch_adapter::OptimizerView> optimizers_;
};

void require_scheduler(const TrainingState::Objects::Scheduler& entry) {
  if (!entry.scheduler.null()) return;
  throw Error(ErrorKind::usage, "the " + ObjectPath("scheduler", entry.name).shown() + " is a null pointer");
}

State describe_all(const TrainingState::Objects& objects, const DescribeContext& context) {
  const Views views(objects, context.grid, context.rank, context.ranks);
  const auto buffers = context.overlap_staging ? torch_adapter::Buffers::copied : torch_adapter::Buffers::in_place;
  State state;
  std::map<const torch_adapter::OptimizerView*, torch_adapter::LeftOut> left_out;
  for (const auto& model : views.models()) {
    naming(model.at().name(), model.at().shown(),
           [&] { torch_adapter::describe_module(state, model, views.of(model), buffers, left_out); });
  }
  for (const auto& optimizer : views.optimizers()) {
    if (!optimizer.ref().given()) continue;
    naming(optimizer.at().name(), optimizer.at().shown(), [&] {
      torch_adapter::describe_optimizer(state, optimizer, left_out[&optimizer]);
      torch_adapter::describe_masters(state, optimizer);
    });
  }
  for (const auto& entry : objects.schedulers) {
    require_scheduler(entry);
    torch_adapter::describe_scheduler(state, ObjectPath("scheduler", entry.name), entry.scheduler);
  }
  torch_adapter::describe_entries(state, objects, context);
  if (objects.rng) torch_adapter::describe_generator(state, context.rank, context.ranks);
  return state;
}

// Has one line about objects that the checkpoint lacks, and one about those that only it has. Returns the former.
std::set<std::string> compare_objects(torch_adapter::LoadBuilder& load, const TrainingState::Objects& objects,
                                      const std::vector<std::string>& only) {
  const auto here = torch_adapter::names_of(objects);
  const auto saved = torch_adapter::names_of(load.contents(), {});
  const auto selected = torch_adapter::names_of(load.contents(), only);
  std::set<std::string> missing;
  std::set<std::string> unexpected;
  std::ranges::set_difference(here, saved, std::inserter(missing, missing.end()));
  std::ranges::set_difference(selected, here, std::inserter(unexpected, unexpected.end()));
  const auto line = [&](const char* what, const std::set<std::string>& names) {
    return fmt::format("{} in the checkpoint: {} ({})", what, fmt::join(names, ", "), torch_adapter::both(saved, here));
  };
  // With `only`, a program may have more than the part of it that it loads.
  if (!missing.empty() && only.empty()) load.missing(line("missing", missing));
  if (!unexpected.empty()) load.unexpected(line("unexpected", unexpected));
  return missing;
}

LoadTarget prepare_all(const TrainingState::Objects& objects, const CheckpointContents& contents,
                       const PrepareContext& context) {
  torch_adapter::LoadBuilder load(contents, context.options);
  const Views views(objects, context.grid, context.rank, context.ranks);
  std::set<std::string> missing;
  if (!objects.ignores_others) missing = compare_objects(load, objects, context.options.only);
  // What is missing as a whole has its line.
  const auto is_there = [&](const ObjectPath& at) { return !missing.contains(at.shown()); };
  for (const auto& model : views.models()) {
    if (!is_there(model.at())) continue;
    naming(model.at().name(), model.at().shown(), [&] { torch_adapter::prepare_module(load, model); });
  }
  for (const auto& optimizer : views.optimizers()) {
    if (!is_there(optimizer.at())) continue;
    naming(optimizer.at().name(), optimizer.at().shown(), [&] {
      if (optimizer.ref().given()) torch_adapter::prepare_optimizer(load, optimizer);
      torch_adapter::prepare_parts(load, optimizer);
    });
  }
  // After the optimizers: a scheduler of the program's may set learning rates when it is loaded.
  for (const auto& entry : objects.schedulers) {
    require_scheduler(entry);
    const ObjectPath at("scheduler", entry.name);
    if (is_there(at)) torch_adapter::prepare_scheduler(load, at, entry.scheduler);
  }
  if (objects.rng) torch_adapter::prepare_generator(load, context.rank);
  torch_adapter::prepare_entries(load, objects, context);
  return load.take();
}

std::string checked(std::string name) {
  if (name.empty()) throw Error(ErrorKind::usage, "an object of a TrainingState has an empty name");
  return name;
}

}  // namespace

void TrainingState::add_model(std::string name, ModelRef model, ModelOptions options) {
  objects_->models.push_back({checked(std::move(name)), std::move(model), std::move(options)});
}

void TrainingState::add_optimizer(std::string name, OptimizerRef optimizer, std::vector<std::string> models,
                                  OptimizerOptions options) {
  objects_->optimizers.push_back(
      {checked(std::move(name)), std::move(optimizer), std::move(models), std::move(options)});
}

void TrainingState::add_scheduler(std::string name, SchedulerRef scheduler) {
  objects_->schedulers.push_back({checked(std::move(name)), std::move(scheduler)});
}

void TrainingState::add_model(ModelRef model, ModelOptions options) {
  objects_->models.push_back({"", std::move(model), std::move(options)});
}

void TrainingState::add_optimizer(OptimizerRef optimizer, OptimizerOptions options) {
  std::vector<std::string> models;
  if (std::ranges::count(objects_->models, "", &Objects::Model::name) > 0) models.emplace_back();
  objects_->optimizers.push_back({"", std::move(optimizer), std::move(models), std::move(options)});
}

void TrainingState::add_scheduler(SchedulerRef scheduler) {
  objects_->schedulers.push_back({"", std::move(scheduler)});
}

namespace {

using Entry = TrainingState::Objects::Entry;

Entry for_all(std::string name) { return {checked(std::move(name)), false, {}}; }
Entry for_each_rank(std::string name, const TakenRanks& take) { return {checked(std::move(name)), true, take}; }

void add_document(TrainingState::Objects& objects, Entry entry, std::function<nlohmann::json()> save,
                  std::function<void(const nlohmann::json&)> load) {
  objects.documents.push_back({std::move(entry), std::move(save), std::move(load)});
}

void add_value(TrainingState::Objects& objects, Entry entry, nlohmann::json& value) {
  add_document(
      objects, std::move(entry), [&value] { return value; }, [&value](const nlohmann::json& saved) { value = saved; });
}

}  // namespace

void TrainingState::add_tensor(std::string name, torch::Tensor& tensor, TensorOptions options) {
  objects_->tensors.push_back({for_all(std::move(name)), &tensor, options});
}

void TrainingState::add_tensors(std::string name, std::vector<torch::Tensor>& tensors, TensorOptions options) {
  objects_->lists.push_back({for_all(std::move(name)), &tensors, options});
}

void TrainingState::add_document(std::string name, nlohmann::json& value) {
  add_value(*objects_, for_all(std::move(name)), value);
}

void TrainingState::add_document(std::string name, std::function<nlohmann::json()> save,
                                 std::function<void(const nlohmann::json&)> load) {
  muster::add_document(*objects_, for_all(std::move(name)), std::move(save), std::move(load));
}

void TrainingState::PerRank::add_tensor(std::string name, torch::Tensor& tensor, TensorOptions options) {
  state_.objects_->tensors.push_back({for_each_rank(std::move(name), take_), &tensor, options});
}

void TrainingState::PerRank::add_tensors(std::string name, std::vector<torch::Tensor>& tensors, TensorOptions options) {
  state_.objects_->lists.push_back({for_each_rank(std::move(name), take_), &tensors, options});
}

void TrainingState::PerRank::add_document(std::string name, nlohmann::json& value) {
  add_value(*state_.objects_, for_each_rank(std::move(name), take_), value);
}

void TrainingState::PerRank::add_document(std::string name, std::function<nlohmann::json()> save,
                                          std::function<void(const nlohmann::json&)> load) {
  muster::add_document(*state_.objects_, for_each_rank(std::move(name), take_), std::move(save), std::move(load));
}

void TrainingState::add_rng() { objects_->rng = true; }
void TrainingState::ignore_other_objects() { objects_->ignores_others = true; }

State TrainingState::describe(const DescribeContext& context) const {
  return torch_adapter::with_short_errors([&] { return describe_all(*objects_, context); });
}

LoadTarget TrainingState::prepare(const CheckpointContents& contents, const PrepareContext& context) const {
  return torch_adapter::with_short_errors([&] { return prepare_all(*objects_, contents, context); });
}

}  // namespace muster
