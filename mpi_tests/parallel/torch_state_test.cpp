// TrainingState: several models and optimizers, tensors and documents, under names, in one checkpoint.

#include <torch/script.h>

#include <map>
#include <vector>

#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"

namespace muster::test::torch_state_test {
namespace {

using torch::Tensor;

// A generator and a discriminator with an Adam each, as in LibTorch's own example.
struct Gan {
  torch::nn::Sequential generator{torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4), torch::nn::Linear(4, 2)};
  torch::nn::Sequential discriminator{torch::nn::Linear(2, 4), torch::nn::Linear(4, 1)};
  torch::optim::Adam generator_optimizer{generator->parameters(), torch::optim::AdamOptions(0.02)};
  torch::optim::Adam discriminator_optimizer{discriminator->parameters(), torch::optim::AdamOptions(0.01)};

  TrainingState state() {
    TrainingState state;
    state.add_model("generator", generator);
    state.add_model("discriminator", discriminator);
    state.add_optimizer("generator_optimizer", generator_optimizer, {"generator"});
    state.add_optimizer("discriminator_optimizer", discriminator_optimizer, {"discriminator"});
    return state;
  }

  // The same on all ranks: a function of the number of the step.
  void train(int step) {
    torch::manual_seed(static_cast<std::uint64_t>(step));
    const auto noise = torch::randn({8, 3});
    const auto real = torch::randn({8, 2});
    discriminator_optimizer.zero_grad();
    (discriminator->forward(generator->forward(noise).detach()).mean() - discriminator->forward(real).mean())
        .backward();
    discriminator_optimizer.step();
    generator_optimizer.zero_grad();
    (-discriminator->forward(generator->forward(noise)).mean()).backward();
    generator_optimizer.step();
  }

  [[nodiscard]] std::vector<Tensor> all() const {
    auto tensors = generator->parameters();
    for (const auto& more : {generator->buffers(), discriminator->parameters()}) {
      tensors.insert(tensors.end(), more.begin(), more.end());
    }
    return tensors;
  }
};

void expect_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i].detach(), b[i].detach())) << i;
}

CollectiveError expect_refused(const std::function<void()>& call, ErrorKind kind) {
  auto error = collective_error_of(call);
  EXPECT_TRUE(error);
  if (!error) throw Error(ErrorKind::internal, "nothing was thrown");
  EXPECT_EQ(error->kind(), kind) << error->what();
  return std::move(*error);
}

TEST(TrainingState, TwoModelsWithAnOptimizerEachGoOnBitByBit) {
  for (const bool in_background : {false, true}) {
    const Scratch scratch;
    torch::manual_seed(0);
    Gan uninterrupted;
    for (int step = 1; step <= 3; ++step) uninterrupted.train(step);
    {
      Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
      if (in_background) {
        checkpoints.save_async(uninterrupted.state(), {.tag = "step_3"});
      } else {
        checkpoints.save(uninterrupted.state(), {.tag = "step_3"});
      }
      for (int step = 4; step <= 6; ++step) uninterrupted.train(step);
    }
    torch::manual_seed(static_cast<std::uint64_t>(world_rank()) + 100);
    Gan resumed;
    const auto report = Checkpointer(MPI_COMM_WORLD, scratch.path()).load(resumed.state());
    EXPECT_TRUE(report.skipped.empty());
    for (const auto* path :
         {"/models/generator/0.weight", "/models/generator/1.running_mean", "/models/discriminator/1.bias",
          "/optimizers/generator_optimizer/2.weight/exp_avg", "/optimizers/discriminator_optimizer/0.bias/step"}) {
      EXPECT_NE(report.contents.find_tensor(path), nullptr) << path;
    }
    for (int step = 4; step <= 6; ++step) resumed.train(step);
    expect_same(uninterrupted.all(), resumed.all());
  }
}

TEST(TrainingState, AnOptimizerMayUpdateSeveralModels) {
  const Scratch scratch;
  torch::manual_seed(1);
  torch::nn::Linear actor(3, 2);
  torch::nn::Linear critic(3, 1);
  auto parameters = actor->parameters();
  for (const auto& parameter : critic->parameters()) parameters.push_back(parameter);
  torch::optim::Adam optimizer(parameters, torch::optim::AdamOptions(0.1));
  TrainingState state;
  state.add_model("actor", actor);
  state.add_model("critic", critic);
  state.add_optimizer("both", optimizer, {"actor", "critic"});
  (actor(torch::ones({1, 3})).sum() + critic(torch::ones({1, 3})).sum()).backward();
  optimizer.step();
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  checkpoints.save(state, {.tag = "a"});
  const auto expected = actor->weight.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    actor->weight.zero_();
  }
  optimizer.state().clear();
  const auto report = checkpoints.load(state);
  EXPECT_NE(report.contents.find_tensor("/optimizers/both/actor.weight/exp_avg"), nullptr);
  EXPECT_NE(report.contents.find_tensor("/optimizers/both/critic.bias/exp_avg_sq"), nullptr);
  EXPECT_TRUE(same_bits(actor->weight.detach(), expected));
  EXPECT_EQ(optimizer.state().size(), 4U);
}

TEST(TrainingState, ListsAndTensorsGetTheShapesOfTheCheckpoint) {
  const Scratch scratch;
  Tensor decay = torch::full({}, 0.99, torch::kFloat64);
  Tensor counts = torch::arange(5);
  std::vector<Tensor> slots = {torch::ones({2, 3}), torch::arange(4, torch::kInt32), torch::zeros({0, 7})};
  std::vector<Tensor> none;
  nlohmann::json loader = {{"epoch", 3}, {"position", 17}};
  TrainingState saved;
  saved.add_tensor("ema/decay", decay);
  saved.add_tensor("counts", counts);
  saved.add_tensors("ema/slots", slots);
  saved.add_tensors("none", none);
  saved.add_document("loader", loader);
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  checkpoints.save(saved, {.tag = "a"});

  Tensor decay_here = torch::zeros({}, torch::kFloat64);
  Tensor counts_here = torch::zeros({2}, torch::kInt64);
  std::vector<Tensor> slots_here = {torch::zeros({1})};
  std::vector<Tensor> none_here = {torch::zeros({1})};
  nlohmann::json loader_here;
  TrainingState loaded;
  loaded.add_tensor("ema/decay", decay_here);
  loaded.add_tensor("counts", counts_here, {.resizable = true});
  loaded.add_tensors("ema/slots", slots_here);
  loaded.add_tensors("none", none_here);
  loaded.add_document("loader", loader_here);
  const auto report = checkpoints.load(loaded);
  EXPECT_TRUE(same_bits(decay_here, decay));
  EXPECT_TRUE(same_bits(counts_here, counts));
  expect_same(slots_here, slots);
  EXPECT_TRUE(none_here.empty());
  EXPECT_EQ(loader_here, loader);
  EXPECT_EQ(report.made, (std::vector<std::string>{"/tensors/counts", "/tensors/ema/slots", "/tensors/none"}));

  // Without leave, another shape is a mismatch, and nothing changes.
  TrainingState strict;
  Tensor small = torch::zeros({2}, torch::kInt64);
  strict.add_tensor("counts", small);
  strict.ignore_other_objects();
  const auto error = expect_refused([&] { checkpoints.load(strict); }, ErrorKind::mismatch);
  EXPECT_TRUE(has(error.what(), "/tensors/counts: int64 [5] in the checkpoint, int64 [2] wanted")) << error.what();
}

TEST(TrainingState, AResizableParameterTakesItsOptimizerStateWithIt) {
  const Scratch scratch;
  const auto make = [](std::int64_t rows) {
    std::map<std::string, Tensor> points;
    points["position"] = torch::ones({rows, 3}).set_requires_grad(true);
    points["scale"] = torch::ones({1}).set_requires_grad(true);
    return points;
  };
  const auto optimizer_of = [](const std::map<std::string, Tensor>& points) {
    std::vector<Tensor> parameters;
    for (const auto& item : points) parameters.push_back(item.second);
    return torch::optim::Adam(parameters, torch::optim::AdamOptions(0.1));
  };
  const auto step = [](std::map<std::string, Tensor>& points, torch::optim::Adam& optimizer) {
    optimizer.zero_grad();
    (points["position"] * points["scale"]).pow(2).sum().backward();
    optimizer.step();
  };
  const auto state_of = [](std::map<std::string, Tensor>& points, torch::optim::Adam& optimizer) {
    TrainingState state;
    state.add_model("points", points, {.resizable = {"position"}});
    state.add_optimizer("adam", optimizer, {"points"});
    return state;
  };
  auto saved = make(7);
  auto saved_optimizer = optimizer_of(saved);
  step(saved, saved_optimizer);
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  checkpoints.save(state_of(saved, saved_optimizer), {.tag = "a"});
  step(saved, saved_optimizer);

  auto loaded = make(2);
  auto loaded_optimizer = optimizer_of(loaded);
  step(loaded, loaded_optimizer);
  const auto report = checkpoints.load(state_of(loaded, loaded_optimizer));
  EXPECT_EQ(report.made, std::vector<std::string>{"/models/points/position"});
  step(loaded, loaded_optimizer);
  EXPECT_TRUE(same_bits(saved["position"].detach(), loaded["position"].detach()));
  EXPECT_TRUE(same_bits(saved["scale"].detach(), loaded["scale"].detach()));

  // The number of rows may not follow the checkpoint where the program does not say so.
  auto fixed = make(2);
  auto fixed_optimizer = optimizer_of(fixed);
  TrainingState state;
  state.add_model("points", fixed);
  state.add_optimizer("adam", fixed_optimizer, {"points"});
  const auto error = expect_refused([&] { checkpoints.load(state); }, ErrorKind::mismatch);
  EXPECT_TRUE(has(error.what(), "/models/points/position: float32 [7, 3] in the checkpoint")) << error.what();
}

// A replay buffer of another length on each rank, an environment's document and a generator's state.
struct OfRank {
  std::vector<Tensor> replay;
  Tensor generator;
  nlohmann::json environment;

  static OfRank of(int rank) {
    OfRank mine{{}, torch::arange(rank, rank + 3), {{"episode", rank * 10}, {"name", "größe"}}};
    for (int i = 0; i <= rank; ++i) mine.replay.push_back(torch::full({i + 1}, rank * 100 + i, torch::kFloat64));
    if (rank == 1) mine.replay.clear();
    return mine;
  }
  TrainingState state(const TakenRanks& take = {}, const TakenRanks& take_one = {}) {
    TrainingState state;
    state.per_rank(take).add_tensors("replay", replay);
    state.per_rank(take_one).add_tensor("generator", generator);
    state.per_rank(take_one).add_document("environment", environment);
    return state;
  }
};

void expect_own_content_back(EngineChoice engine) {
  const Scratch scratch;
  auto saved = OfRank::of(world_rank());
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path(), {.engine = engine});
  // The values change from save to save; the plan stays as long as they fit.
  for (int i = 0; i < 3; ++i) {
    saved.environment["episode"] = i;
    const auto report = checkpoints.save(saved.state(), {.tag = "step_" + std::to_string(i)});
    EXPECT_EQ(report.plan_reused, i > 0);
  }
  OfRank loaded;
  const auto report = checkpoints.load(loaded.state());
  expect_same(loaded.replay, saved.replay);
  EXPECT_TRUE(same_bits(loaded.generator, saved.generator));
  EXPECT_EQ(loaded.environment, saved.environment);
  const auto* text = report.contents.find_tensor(fmt::format("/per_rank/{}/environment", world_rank()));
  ASSERT_NE(text, nullptr);
  EXPECT_EQ(text->dtype, DType::text);
  EXPECT_EQ(report.contents.find_tensor("/per_rank/0/replay/0")->shape, Shape{1});
}

TEST(TrainingState, EachRankGetsItsOwnBack) { expect_own_content_back(EngineChoice::direct); }
TEST(TrainingState, EachRankGetsItsOwnBackFromTheEngineCollective) {
  expect_own_content_back(EngineChoice::collective);
}

TEST(TrainingState, OnAnotherNumberOfRanksTheProgramSaysWhoTakesWhat) {
  const Scratch scratch;
  // Saved by all ranks, loaded by each of them alone.
  auto saved = OfRank::of(world_rank());
  Checkpointer(MPI_COMM_WORLD, scratch.path()).save(saved.state(), {.tag = "a"});
  if (world_size() == 1) return;
  Checkpointer alone(MPI_COMM_SELF, scratch.path());
  OfRank loaded;
  const auto error = expect_refused([&] { alone.load(loaded.state()); }, ErrorKind::mismatch);
  EXPECT_TRUE(has(error.what(), fmt::format("replay: each of {} ranks saved its own", world_size()))) << error.what();
  EXPECT_TRUE(loaded.replay.empty());
  const int chosen = world_rank();
  alone.load(loaded.state(share_out_ranks, [&](int, int, int) { return std::vector{chosen}; }));
  std::vector<Tensor> all;
  for (int rank = 0; rank < world_size(); ++rank) {
    for (const auto& tensor : OfRank::of(rank).replay) all.push_back(tensor);
  }
  expect_same(loaded.replay, all);
  EXPECT_EQ(loaded.environment, saved.environment);
  EXPECT_TRUE(same_bits(loaded.generator, saved.generator));
}

// What C++ programs train that get their model from Python.
TEST(TrainingState, ATorchScriptModuleIsAModel) {
  const Scratch scratch;
  const auto make = [](float value) {
    torch::jit::Module module("Scripted");
    module.register_parameter("weight", torch::full({2, 3}, value).set_requires_grad(true), false);
    module.register_buffer("mean", torch::full({2}, value));
    torch::jit::Module inner("Inner");
    inner.register_parameter("bias", torch::full({2}, value).set_requires_grad(true), false);
    module.register_module("inner", inner);
    module.define("def forward(self, x):\n    return x.matmul(self.weight.t()) + self.inner.bias - self.mean\n");
    return module;
  };
  auto saved = make(2);
  std::vector<Tensor> parameters;
  for (const auto& parameter : saved.parameters()) parameters.push_back(parameter);
  torch::optim::SGD optimizer(parameters, torch::optim::SGDOptions(0.1).momentum(0.9));
  saved.forward({torch::ones({1, 3})}).toTensor().sum().backward();
  optimizer.step();
  TrainingState state;
  state.add_model("scripted", saved);
  state.add_optimizer("sgd", optimizer, {"scripted"});
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  checkpoints.save(state, {.tag = "a"});
  auto loaded = make(0);
  TrainingState target;
  target.add_model("scripted", loaded);
  target.ignore_other_objects();
  const auto report = checkpoints.load(target);
  EXPECT_NE(report.contents.find_tensor("/models/scripted/inner.bias"), nullptr);
  EXPECT_NE(report.contents.find_tensor("/optimizers/sgd/inner.bias/momentum_buffer"), nullptr);
  const auto input = torch::arange(3, torch::kFloat32).reshape({1, 3});
  EXPECT_TRUE(same_bits(loaded.forward({input}).toTensor().detach(), saved.forward({input}).toTensor().detach()));
  // The two calls take one, too.
  auto again = make(0);
  save_checkpoint(MPI_COMM_WORLD, scratch.path() / "calls", {.tag = "a", .model = saved});
  load_checkpoint(MPI_COMM_WORLD, scratch.path() / "calls", {.model = again});
  EXPECT_TRUE(same_bits(again.attr("mean").toTensor(), saved.attr("mean").toTensor()));
}

TEST(TrainingState, NamesWhatProgramAndCheckpointDoNotShare) {
  const Scratch scratch;
  Gan gan;
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  checkpoints.save(gan.state(), {.tag = "a"});
  torch::nn::Linear critic(2, 2);
  TrainingState other;
  other.add_model("generator", gan.generator);
  other.add_model("critic", critic);
  auto error = expect_refused([&] { checkpoints.load(other); }, ErrorKind::mismatch);
  EXPECT_TRUE(has(error.what(), "missing in the checkpoint: model critic")) << error.what();
  EXPECT_TRUE(has(error.what(),
                  "unexpected in the checkpoint: model discriminator, optimizer discriminator_optimizer, "
                  "optimizer generator_optimizer"))
      << error.what();
  EXPECT_TRUE(has(error.what(), "the program has model critic, model generator")) << error.what();

  // In part, by name.
  TrainingState part;
  torch::nn::Sequential generator{torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4), torch::nn::Linear(4, 2)};
  part.add_model("generator", generator);
  part.ignore_other_objects();
  checkpoints.load(part);
  expect_same(generator->parameters(), gan.generator->parameters());
  torch::nn::Sequential again{torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4), torch::nn::Linear(4, 2)};
  TrainingState selected;
  selected.add_model("generator", again);
  checkpoints.load(selected, {.only = {"/models/generator/*"}});
  expect_same(again->parameters(), gan.generator->parameters());
}

TEST(TrainingState, RefusesWhatCannotBeSavedBeforeAnythingIsWritten) {
  const Scratch scratch;
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  const auto refused = [&](const TrainingState& state, const std::string& words) {
    const auto error = expect_refused([&] { checkpoints.save(state, {.tag = "a"}); }, ErrorKind::usage);
    EXPECT_TRUE(has(error.what(), words)) << error.what();
  };
  torch::nn::Linear one(2, 2);
  torch::nn::Linear two(2, 2);
  torch::optim::SGD optimizer(two->parameters(), torch::optim::SGDOptions(0.1));
  {
    TrainingState state;
    state.add_model("m", one);
    state.add_model("m", two);
    refused(state, "two objects are called model m");
  }
  {
    TrainingState state;
    state.add_model("m", one);
    state.add_optimizer("o", optimizer, {"m"});
    refused(state, "optimizer o: parameter 0 of the optimizer, [2, 2], belongs to none of its models: m");
  }
  {
    TrainingState state;
    state.add_optimizer("o", optimizer, {"m"});
    refused(state, "optimizer o: no model m was added before the optimizer that updates it");
  }
  {
    TrainingState state;
    const std::shared_ptr<torch::nn::Module> null;
    state.add_model("m", null);
    refused(state, "model m is a null pointer");
  }
  {
    TrainingState state;
    Tensor undefined;
    state.add_tensor("t", undefined);
    refused(state, "/tensors/t cannot be saved or loaded: it is undefined");
  }
  EXPECT_FALSE(std::filesystem::exists(scratch.path() / "a.h5"));
  TrainingState state;
  EXPECT_THROW(state.add_model("", one), Error);
}

// The program drops and makes tensors while a background save still reads those that it was given.
TEST(TrainingState, ABackgroundSaveKeepsTheTensorsThatItReads) {
  const Scratch scratch;
  constexpr std::int64_t kElements = 1 << 20;
  Tensor moving = torch::full({kElements}, 1.5);
  std::vector<Tensor> list = {torch::full({kElements}, 2.5)};
  TrainingState state;
  state.add_tensor("moving", moving);
  state.add_tensors("list", list);
  Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
  auto handle = checkpoints.save_async(state, {.tag = "a", .async = {.overlap_staging = true}});
  moving = torch::full({kElements}, -1.0);
  list.clear();
  const auto later = torch::full({kElements}, -2.0);  // gets the memory of the list if it is free
  handle.wait_staged();
  handle.wait();
  Tensor loaded = torch::zeros({kElements});
  std::vector<Tensor> loaded_list;
  TrainingState target;
  target.add_tensor("moving", loaded);
  target.add_tensors("list", loaded_list);
  checkpoints.load(target);
  EXPECT_TRUE(same_bits(loaded, torch::full({kElements}, 1.5)));
  EXPECT_TRUE(same_bits(loaded_list.at(0), torch::full({kElements}, 2.5)));
}

}  // namespace
}  // namespace muster::test::torch_state_test
