// Optimizers of classes that are not LibTorch's: Lion with OptimizerTraits, Muon by what its own save() writes, and one
// that has its buffers in members.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"

namespace muster::test::torch_custom_optimizer_test {

using torch::Tensor;
using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

// Chen et al. 2023: the sign of an interpolated momentum, with decoupled weight decay.
struct LionOptions : torch::optim::OptimizerCloneableOptions<LionOptions> {
  explicit LionOptions(double rate = 1e-4) : lr(rate) {}
  double lr;
  std::tuple<double, double> betas{0.9, 0.99};
  double weight_decay = 0.01;
};
struct LionParamState : torch::optim::OptimizerCloneableParamState<LionParamState> {
  std::int64_t step = 0;
  Tensor exp_avg;
};
class Lion : public torch::optim::Optimizer {
 public:
  Lion(std::vector<Tensor> parameters, const LionOptions& options)
      : Optimizer({torch::optim::OptimizerParamGroup(std::move(parameters))}, std::make_unique<LionOptions>(options)) {}
  Tensor step(LossClosure) override {
    const torch::NoGradGuard no_grad;
    for (auto& group : param_groups()) {
      const auto& options = static_cast<const LionOptions&>(group.options());
      const auto [beta1, beta2] = options.betas;
      for (auto& parameter : group.params()) {
        auto& entry = state()[optimizer_state_key(parameter)];
        if (!entry) entry = std::make_unique<LionParamState>();
        auto& state = static_cast<LionParamState&>(*entry);
        if (!state.exp_avg.defined()) state.exp_avg = torch::zeros_like(parameter);
        ++state.step;
        parameter.mul_(1 - options.lr * options.weight_decay);
        parameter.add_((state.exp_avg * beta1 + parameter.grad() * (1 - beta1)).sign(), -options.lr);
        state.exp_avg.mul_(beta2).add_(parameter.grad(), 1 - beta2);
      }
    }
    return {};
  }
};

// Jordan 2024: momentum, made orthogonal by Newton and Schulz's iteration if it is a matrix.
struct MuonOptions : torch::optim::OptimizerCloneableOptions<MuonOptions> {
  explicit MuonOptions(double lr = 0.02) : lr_(lr) {}
  TORCH_ARG(double, lr);
  TORCH_ARG(double, momentum) = 0.95;
  TORCH_ARG(bool, nesterov) = true;
  TORCH_ARG(std::int64_t, ns_steps) = 5;
  using Coefficients = std::tuple<double, double, double>;
  TORCH_ARG(Coefficients, ns_coefficients) = {3.4445, -4.7750, 2.0315};

 public:
  void serialize(OutputArchive& archive) const override {
    archive.write("lr", torch::IValue(lr_));
    archive.write("momentum", torch::IValue(momentum_));
    archive.write("nesterov", torch::IValue(nesterov_));
    archive.write("ns_steps", torch::IValue(ns_steps_));
    archive.write("ns_coefficients", torch::IValue(ns_coefficients_));
  }
  void serialize(InputArchive& archive) override {
    const auto read = [&](const char* name) {
      torch::IValue value;
      archive.read(name, value);
      return value;
    };
    lr_ = read("lr").toDouble();
    momentum_ = read("momentum").toDouble();
    nesterov_ = read("nesterov").toBool();
    ns_steps_ = read("ns_steps").toInt();
    ns_coefficients_ = read("ns_coefficients").to<Coefficients>();
  }
};
struct MuonParamState : torch::optim::OptimizerCloneableParamState<MuonParamState> {
  std::int64_t step = 0;
  double norm = 0;  // of the last update
  Tensor momentum_buffer;
  void serialize(OutputArchive& archive) const override {
    archive.write("step", torch::IValue(step));
    archive.write("norm", torch::IValue(norm));
    archive.write("momentum_buffer", momentum_buffer, true);
  }
  void serialize(InputArchive& archive) override {
    torch::IValue value;
    archive.read("step", value);
    step = value.toInt();
    archive.read("norm", value);
    norm = value.toDouble();
    archive.read("momentum_buffer", momentum_buffer, true);
  }
};
class Muon : public torch::optim::Optimizer {
 public:
  Muon(std::vector<Tensor> parameters, const MuonOptions& options)
      : Optimizer({torch::optim::OptimizerParamGroup(std::move(parameters))}, std::make_unique<MuonOptions>(options)) {}
  Tensor step(LossClosure) override {
    const torch::NoGradGuard no_grad;
    for (auto& group : param_groups()) {
      const auto& options = static_cast<const MuonOptions&>(group.options());
      for (auto& parameter : group.params()) {
        auto& entry = state()[optimizer_state_key(parameter)];
        if (!entry) entry = std::make_unique<MuonParamState>();
        auto& state = static_cast<MuonParamState&>(*entry);
        if (!state.momentum_buffer.defined()) state.momentum_buffer = torch::zeros_like(parameter);
        state.momentum_buffer.lerp_(parameter.grad(), 1 - options.momentum());
        auto update = options.nesterov() ? parameter.grad().lerp(state.momentum_buffer, options.momentum())
                                         : state.momentum_buffer;
        if (update.dim() == 2) update = orthogonal(update, options);
        state.norm = update.norm().item<double>();
        ++state.step;
        parameter.add_(update, -options.lr());
      }
    }
    return {};
  }
  void save(OutputArchive& archive) const override {
    torch::optim::serialize<MuonParamState, MuonOptions>(archive, *this);
  }
  void load(InputArchive& archive) override { torch::optim::serialize<MuonParamState, MuonOptions>(archive, *this); }

 private:
  static Tensor orthogonal(const Tensor& matrix, const MuonOptions& options) {
    const auto [a, b, c] = options.ns_coefficients();
    const bool is_tall = matrix.size(0) > matrix.size(1);
    auto x = is_tall ? matrix.t() : matrix;
    x = x / (x.norm() + 1e-7);
    for (std::int64_t i = 0; i < options.ns_steps(); ++i) {
      const auto gram = x.mm(x.t());
      x = a * x + (b * gram + c * gram.mm(gram)).mm(x);
    }
    if (is_tall) x = x.t();
    const auto ratio = static_cast<double>(matrix.size(0)) / static_cast<double>(matrix.size(1));
    return x * std::sqrt(std::max(1.0, ratio));
  }
};

// SGD that keeps the mean of the parameters over all steps, the losses of the last steps and their number in members.
struct AveragedSgdOptions : torch::optim::OptimizerCloneableOptions<AveragedSgdOptions> {};
class AveragedSgd : public torch::optim::Optimizer {
 public:
  AveragedSgd(std::vector<Tensor> parameters, double rate)
      : Optimizer({torch::optim::OptimizerParamGroup(std::move(parameters))}, std::make_unique<AveragedSgdOptions>()),
        lr(rate) {}
  Tensor step(LossClosure) override {
    const torch::NoGradGuard no_grad;
    auto& parameters = param_groups()[0].params();
    if (averages.empty()) {
      for (const auto& parameter : parameters) averages.push_back(torch::zeros_like(parameter));
    }
    ++steps;
    norms.push_back(0);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      // The averages pull the parameters back, so that a lost one shows.
      parameters[i].sub_(parameters[i].grad() * lr + averages[i] * (0.1 * lr));
      averages[i].lerp_(parameters[i], 1.0 / static_cast<double>(steps));
      norms.back() += averages[i].norm().item<double>();
    }
    last = {averages[0].mean(), averages[1].sum(0)};
    if (steps > 3) least_norm = std::min(least_norm, norms.back());
    return {};
  }
  void save(OutputArchive& archive) const override {
    archive.write("lr", torch::IValue(lr));
    archive.write("steps", torch::IValue(steps));
    archive.write("norms", torch::IValue(norms));
    archive.write("least_norm", torch::IValue(least_norm));
    archive.write("last", torch::IValue(last));
    OutputArchive nested(archive.compilation_unit());
    torch::optim::serialize(nested, "averages", averages);
    archive.write("buffers", nested);
  }
  void load(InputArchive& archive) override {
    if (forgets) return;
    torch::IValue value;
    archive.read("lr", value);
    lr = value.toDouble();
    archive.read("steps", value);
    steps = value.toInt();
    archive.read("norms", value);
    norms = value.toDoubleVector();
    archive.read("last", value);
    last = value.toTensorVector();
    archive.read("least_norm", value);
    least_norm = value.toDouble();
    InputArchive nested;
    archive.read("buffers", nested);
    torch::optim::serialize(nested, "averages", averages);
  }

  double lr;
  std::int64_t steps = 0;
  std::vector<double> norms;
  double least_norm = std::numeric_limits<double>::infinity();  // of the fourth step and later ones
  std::vector<Tensor> last;
  std::vector<Tensor> averages;
  bool forgets = false;  // what it loads
};

}  // namespace muster::test::torch_custom_optimizer_test

template <>
struct muster::OptimizerTraits<muster::test::torch_custom_optimizer_test::Lion> {
  using Options = muster::test::torch_custom_optimizer_test::LionOptions;
  using ParamState = muster::test::torch_custom_optimizer_test::LionParamState;
  static std::string name() { return "Lion"; }
  static void visit_slots(auto& state, auto&& visit) {
    visit(Slot{"step", SlotShape::single}, state.step);
    visit(Slot{"exp_avg"}, state.exp_avg);
  }
  static void visit_options(auto& options, auto&& visit) {
    visit("lr", options.lr);
    visit("betas", options.betas);
    visit("weight_decay", options.weight_decay);
  }
};

namespace muster::test::torch_custom_optimizer_test {
namespace {

torch::nn::Sequential net(std::uint64_t seed) {
  torch::manual_seed(seed);  // the same on all ranks: they hold replicas
  return torch::nn::Sequential(torch::nn::Linear(4, 6), torch::nn::Tanh(), torch::nn::Linear(6, 3));
}

void train(torch::nn::Sequential& model, torch::optim::Optimizer& optimizer, int first, int last) {
  for (int step = first; step <= last; ++step) {
    torch::manual_seed(static_cast<std::uint64_t>(1000 + step));
    optimizer.zero_grad();
    torch::mse_loss(model->forward(torch::randn({8, 4})), torch::randn({8, 3})).backward();
    optimizer.step();
  }
}

void expect_same_parameters(const torch::nn::Sequential& a, const torch::nn::Sequential& b) {
  for (const auto& item : a->named_parameters()) {
    EXPECT_TRUE(same_bits(item.value().detach(), b->named_parameters()[item.key()].detach())) << item.key();
  }
}

// Saves after three steps, and goes on to step six in the program that saved, in a new one, and in one that has done
// other steps before.
template <class Optimizer, class Make>
LoadReport expect_same_training(const Make& make) {
  LoadReport report;
  for (const bool in_background : {false, true}) {
    const Scratch scratch;
    auto model = net(1);
    Optimizer optimizer = make(model, 0.25);
    train(model, optimizer, 1, 3);
    {
      TrainingState state;
      state.add_model(model);
      state.add_optimizer(optimizer);
      Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
      if (in_background) {
        auto saved = checkpoints.save_async(state, {.tag = "step_3", .async = {.overlap_staging = true}});
        saved.wait_staged();
      } else {
        checkpoints.save(state, {.tag = "step_3"});
      }
      train(model, optimizer, 4, 6);
    }
    for (const int steps_before : {0, 2}) {
      auto other = net(2);
      Optimizer restored = make(other, 0.5);
      train(other, restored, 101, 100 + steps_before);
      report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), {.model = other, .optimizer = restored});
      EXPECT_TRUE(report.skipped.empty());
      train(other, restored, 4, 6);
      expect_same_parameters(model, other);
    }
  }
  return report;
}

nlohmann::json groups_of(const LoadReport& report) { return *report.contents.find_document("/optimizer/param_groups"); }

void expect_paths(const LoadReport& report, const std::vector<std::string>& paths) {
  for (const auto& path : paths) EXPECT_NE(report.contents.find_tensor(path), nullptr) << path;
}

TEST(TorchCustomOptimizer, LionWithTraitsGoesOnBitByBit) {
  const auto report = expect_same_training<Lion>(
      [](torch::nn::Sequential& model, double rate) { return Lion(model->parameters(), LionOptions(rate)); });
  expect_paths(report, {"/optimizer/0.weight/exp_avg", "/optimizer/0.weight/step", "/optimizer/2.bias/exp_avg"});
  const auto document = groups_of(report);
  EXPECT_EQ(document["optimizer"], "Lion");
  EXPECT_EQ(document["groups"][0]["lr"], 0.25);
  EXPECT_EQ(document["groups"][0]["betas"], (nlohmann::json{0.9, 0.99}));
}

TEST(TorchCustomOptimizer, MuonGoesOnBitByBitByItsOwnSave) {
  const auto report = expect_same_training<Muon>([](torch::nn::Sequential& model, double rate) {
    // The options come from the checkpoint, too: LibTorch's own load of an optimizer leaves them as they are.
    return Muon(model->parameters(), MuonOptions(rate).nesterov(rate < 0.3).ns_steps(rate < 0.3 ? 5 : 2));
  });
  expect_paths(report, {"/optimizer/0.weight/momentum_buffer", "/optimizer/0.weight/step", "/optimizer/0.weight/norm",
                        "/optimizer/2.bias/momentum_buffer"});
  EXPECT_EQ(report.contents.find_tensor("/optimizer/0.weight/momentum_buffer")->shape, (Shape{6, 4}));
  const auto document = groups_of(report);
  EXPECT_TRUE(has(document["optimizer"].get<std::string>(), "Muon")) << document;
  const auto& group = document["groups"][0];
  EXPECT_EQ(group["lr"], 0.25);
  EXPECT_EQ(group["ns_steps"], 5);
  EXPECT_EQ(group["ns_coefficients"], (nlohmann::json{3.4445, -4.7750, 2.0315}));
  EXPECT_EQ(group["params"], (nlohmann::json{"0.weight", "0.bias", "2.weight", "2.bias"}));
  EXPECT_EQ(document["slots"], (nlohmann::json{{"momentum_buffer", "parameter"}, {"norm", "float"}, {"step", "int"}}));
}

TEST(TorchCustomOptimizer, BuffersInMembersGoOnBitByBit) {
  const auto report = expect_same_training<AveragedSgd>(
      [](torch::nn::Sequential& model, double rate) { return AveragedSgd(model->parameters(), rate); });
  expect_paths(report, {"/optimizer/archive/buffers/averages%2F0", "/optimizer/archive/last.1"});
  const auto others = groups_of(report)["archive"];
  EXPECT_EQ(others["steps"], 3);
  EXPECT_EQ(others["lr"], 0.25);
  EXPECT_EQ(others["norms"]["type"], "List[float]");
  EXPECT_EQ(others["least_norm"], std::numeric_limits<double>::infinity());  // its value at the step that was saved
}

// Momentum that is no object of LibTorch's: the program has it in a dictionary, and saves that as it saves a model.
TEST(TorchCustomOptimizer, AnOptimizerThatIsADictionaryOfTensorsGoesOnBitByBit) {
  const auto train_by_hand = [](torch::nn::Sequential& model, std::map<std::string, Tensor>& momentum, int first,
                                int last) {
    for (int step = first; step <= last; ++step) {
      torch::manual_seed(static_cast<std::uint64_t>(1000 + step));
      model->zero_grad();
      torch::mse_loss(model->forward(torch::randn({8, 4})), torch::randn({8, 3})).backward();
      const torch::NoGradGuard no_grad;
      for (auto& item : model->named_parameters()) {
        momentum.at(item.key()).mul_(0.9).add_(item.value().grad());
        item.value().sub_(momentum.at(item.key()), 0.1);
      }
    }
  };
  const auto zeros_for = [](torch::nn::Sequential& model) {
    std::map<std::string, Tensor> momentum;
    for (const auto& item : model->named_parameters()) momentum[item.key()] = torch::zeros_like(item.value().detach());
    return momentum;
  };
  const auto state_of = [](torch::nn::Sequential& model, std::map<std::string, Tensor>& momentum) {
    TrainingState state;
    state.add_model("net", model);
    state.add_model("momentum", momentum);
    return state;
  };
  for (const bool in_background : {false, true}) {
    const Scratch scratch;
    auto model = net(1);
    auto momentum = zeros_for(model);
    train_by_hand(model, momentum, 1, 3);
    Checkpointer checkpoints(MPI_COMM_WORLD, scratch.path());
    if (in_background) {
      checkpoints.save_async(state_of(model, momentum), {.tag = "step_3"}).wait();
    } else {
      checkpoints.save(state_of(model, momentum), {.tag = "step_3"});
    }
    train_by_hand(model, momentum, 4, 6);
    auto other = net(2);
    auto restored = zeros_for(other);
    auto state = state_of(other, restored);
    checkpoints.load(state);
    train_by_hand(other, restored, 4, 6);
    expect_same_parameters(model, other);
    for (const auto& [key, value] : momentum) EXPECT_TRUE(same_bits(value, restored.at(key))) << key;
  }
}

std::string error_of_load(const Scratch& scratch, const LoadArgs& args) {
  const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
  return error ? error->what() : "";
}

TEST(TorchCustomOptimizer, AnotherClassIsAMismatch) {
  const Scratch scratch;
  auto model = net(1);
  Lion lion(model->parameters(), LionOptions());
  train(model, lion, 1, 1);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), {.tag = "a", .model = model, .optimizer = lion});
  Muon muon(model->parameters(), MuonOptions());
  const auto error = error_of_load(scratch, {.model = model, .optimizer = muon});
  EXPECT_TRUE(has(error, "is of the optimizer Lion, and is to be loaded into")) << error;
}

TEST(TorchCustomOptimizer, OptionsThatDoNotFitAreNamedAndNothingChanges) {
  const Scratch scratch;
  auto model = net(1);
  Muon muon(model->parameters(), MuonOptions(0.25));
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), {.tag = "a", .optimizer = muon});
  auto document = groups_of(load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), {.optimizer = muon}));
  auto& group = document["groups"][0];
  group.erase("nesterov");
  group["lr"] = "fast";
  group["warmup"] = 3;
  State state;
  state.add(Document{.path = "/optimizer/param_groups", .value = document});
  save_state(scratch.path(), "b", state);
  const auto error = error_of_load(scratch, {.tag = "b", .optimizer = muon});
  EXPECT_TRUE(has(error, "option 'lr' cannot be string")) << error;
  EXPECT_TRUE(has(error, "has no option 'nesterov'")) << error;
  EXPECT_TRUE(has(error, "has an option 'warmup'")) << error;
  EXPECT_EQ(static_cast<const MuonOptions&>(muon.param_groups()[0].options()).lr(), 0.25);
}

TEST(TorchCustomOptimizer, AClassThatSavesNothingIsRefused) {
  const Scratch scratch;
  auto model = net(1);
  Lion lion(model->parameters(), LionOptions());
  torch::optim::Optimizer& of_no_class = lion;
  const auto error = collective_error_of(
      [&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), {.tag = "a", .model = model, .optimizer = of_no_class}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::usage);
  EXPECT_TRUE(has(error->what(), "specialise muster::OptimizerTraits")) << error->what();
}

TEST(TorchCustomOptimizer, AClassThatDoesNotLoadWhatItSavesIsAnError) {
  const Scratch scratch;
  auto model = net(1);
  AveragedSgd optimizer(model->parameters(), 0.25);
  train(model, optimizer, 1, 1);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), {.tag = "a", .model = model, .optimizer = optimizer});
  train(model, optimizer, 2, 2);
  optimizer.forgets = true;
  const auto error = error_of_load(scratch, {.model = model, .optimizer = optimizer});
  EXPECT_TRUE(has(error, "does not restore buffers/averages%2F0")) << error;
}

}  // namespace
}  // namespace muster::test::torch_custom_optimizer_test
