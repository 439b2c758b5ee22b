// Optimizers: state and options to the last bit, so that training goes on as if it had not stopped.

#include <algorithm>
#include <functional>
#include <memory>

#include "model/dtypes.hpp"
#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"
#include "torch/scalar_types.hpp"

namespace muster::test::torch_optimizer_test {
namespace {

using torch::optim::Optimizer;
using OptimizerPointer = std::unique_ptr<Optimizer>;
using Parameters = std::vector<torch::Tensor>;

struct NetImpl : torch::nn::Module {
  explicit NetImpl(bool transposed)
      : first(register_module("first", torch::nn::Linear(4, 6))),
        second(register_module("second", torch::nn::Linear(6, 2))) {
    const auto values = torch::randn({2, 6}).t();
    mixing = register_parameter("mixing", transposed ? values : values.contiguous());
  }
  torch::Tensor forward(const torch::Tensor& x) { return second(torch::tanh(first(x) + x.sum() * mixing.sum(1))); }
  torch::nn::Linear first, second;
  torch::Tensor mixing;
};
TORCH_MODULE(Net);

// With a transposed parameter, whose state has its strides, unless told otherwise.
Net net(std::uint64_t seed, bool transposed = true) {
  torch::manual_seed(seed);  // the same on all ranks: they hold replicas
  return Net(transposed);
}

void train(const Net& model, Optimizer& optimizer, int first, int count) {
  for (int step = first; step < first + count; ++step) {
    torch::manual_seed(static_cast<std::uint64_t>(1000 + step));
    const auto x = torch::randn({8, 4});
    const auto y = torch::randn({8, 2});
    const auto closure = [&] {
      optimizer.zero_grad();
      auto loss = torch::mse_loss(Net(model)->forward(x), y);
      loss.backward();
      return loss;
    };
    if (dynamic_cast<torch::optim::LBFGS*>(&optimizer) != nullptr) {
      optimizer.step(closure);
    } else {
      closure();
      optimizer.step();
    }
  }
}

void expect_same_parameters(const Net& a, const Net& b) {
  for (const auto& item : a->named_parameters()) {
    EXPECT_TRUE(same_bits(item.value(), b->named_parameters()[item.key()])) << item.key();
  }
}

// A parameter's state as a list of its slots; the number of slots is asserted by the round trip.
using Slots = std::vector<std::pair<std::string, torch::Tensor>>;

torch::Tensor scalar(std::int64_t value) { return torch::tensor(value, torch::kInt64); }
torch::Tensor scalar(double value) { return torch::tensor(value, torch::kFloat64); }

Slots slots_of(const torch::optim::OptimizerParamState& any) {
  using namespace torch::optim;
  if (const auto* s = dynamic_cast<const SGDParamState*>(&any)) return {{"momentum_buffer", s->momentum_buffer()}};
  const auto adam_slots = [](const auto& s) -> Slots {
    return {{"step", scalar(s.step())},
            {"exp_avg", s.exp_avg()},
            {"exp_avg_sq", s.exp_avg_sq()},
            {"max_exp_avg_sq", s.max_exp_avg_sq()}};
  };
  if (const auto* s = dynamic_cast<const AdamParamState*>(&any)) return adam_slots(*s);
  if (const auto* s = dynamic_cast<const AdamWParamState*>(&any)) return adam_slots(*s);
  if (const auto* s = dynamic_cast<const AdagradParamState*>(&any)) {
    return {{"step", scalar(s->step())}, {"sum", s->sum()}};
  }
  if (const auto* s = dynamic_cast<const RMSpropParamState*>(&any)) {
    return {{"step", scalar(s->step())},
            {"square_avg", s->square_avg()},
            {"momentum_buffer", s->momentum_buffer()},
            {"grad_avg", s->grad_avg()}};
  }
  const auto& s = dynamic_cast<const LBFGSParamState&>(any);
  Slots slots = {{"func_evals", scalar(s.func_evals())},
                 {"n_iter", scalar(s.n_iter())},
                 {"t", scalar(s.t())},
                 {"prev_loss", scalar(s.prev_loss())},
                 {"d", s.d()},
                 {"H_diag", s.H_diag()},
                 {"prev_flat_grad", s.prev_flat_grad()}};
  for (const auto& entry : s.old_dirs()) slots.emplace_back("old_dirs", entry);
  for (const auto& entry : s.old_stps()) slots.emplace_back("old_stps", entry);
  for (const auto& entry : s.ro()) slots.emplace_back("ro", entry);
  if (s.al()) {
    for (const auto& entry : *s.al()) slots.emplace_back("al", entry);
  }
  return slots;
}

// Null where the parameter has none.
torch::optim::OptimizerParamState* state_of(Optimizer& optimizer, const torch::Tensor& parameter) {
  const auto found = optimizer.state().find(optimizer_state_key(parameter));
  return found == optimizer.state().end() ? nullptr : found->second.get();
}

void expect_same_state(Optimizer& a, Optimizer& b) {
  EXPECT_EQ(a.state().size(), b.state().size());
  ASSERT_EQ(a.param_groups().size(), b.param_groups().size());
  for (std::size_t g = 0; g < a.param_groups().size(); ++g) {
    const auto& params_a = a.param_groups()[g].params();
    const auto& params_b = b.param_groups()[g].params();
    ASSERT_EQ(params_a.size(), params_b.size());
    for (std::size_t i = 0; i < params_a.size(); ++i) {
      SCOPED_TRACE("group " + std::to_string(g) + " parameter " + std::to_string(i));
      const auto* state_a = state_of(a, params_a[i]);
      const auto* state_b = state_of(b, params_b[i]);
      ASSERT_EQ(state_a == nullptr, state_b == nullptr);
      if (state_a == nullptr) continue;
      const auto slots_a = slots_of(*state_a);
      const auto slots_b = slots_of(*state_b);
      ASSERT_EQ(slots_a.size(), slots_b.size());
      for (std::size_t s = 0; s < slots_a.size(); ++s) {
        EXPECT_EQ(slots_a[s].first, slots_b[s].first);
        EXPECT_TRUE(same_bits(slots_a[s].second, slots_b[s].second)) << slots_a[s].first;
      }
    }
  }
}

template <class Options>
testing::AssertionResult same_options(Optimizer& a, Optimizer& b) {
  for (std::size_t g = 0; g < a.param_groups().size(); ++g) {
    const auto& x = dynamic_cast<const Options&>(a.param_groups()[g].options());
    const auto& y = dynamic_cast<const Options&>(b.param_groups()[g].options());
    if (!(x == y)) return testing::AssertionFailure() << "the options of group " << g << " differ";
  }
  return testing::AssertionSuccess();
}

// A way to make an optimizer with options that no class has by default, one of the same class with other options, and
// how to compare them.
struct Variant {
  std::string name;
  std::function<OptimizerPointer(Parameters)> make;
  std::function<OptimizerPointer(Parameters)> make_other;
  std::function<testing::AssertionResult(Optimizer&, Optimizer&)> same_options;
  std::vector<std::string> slots;  // of the first parameter, as they must be in the file
  bool takes_strides = true;       // off: Torch itself fails on parameters that are not contiguous

  [[nodiscard]] Net make_net(std::uint64_t seed) const { return net(seed, takes_strides); }
};

void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

template <class Class, class Options>
Variant variant(std::string name, const Options& options, const Options& other, std::vector<std::string> slots) {
  return {std::move(name),
          [=](Parameters params) { return std::make_unique<Class>(std::move(params), options); },
          [=](Parameters params) { return std::make_unique<Class>(std::move(params), other); },
          same_options<Options>,
          std::move(slots),
          !std::is_same_v<Class, torch::optim::LBFGS>};
}

std::vector<Variant> variants() {
  using namespace torch::optim;
  const double odd = 0.1 + 0.2;  // 17 digits
  return {
      variant<SGD>("SgdPlain", SGDOptions(odd / 10), SGDOptions(0.5), {}),
      variant<SGD>("SgdNesterov", SGDOptions(0.01).momentum(odd).nesterov(true).weight_decay(1e-3), SGDOptions(0.5),
                   {"momentum_buffer"}),
      variant<SGD>("SgdDampening", SGDOptions(0.01).momentum(0.9).dampening(odd), SGDOptions(0.5).momentum(0.1),
                   {"momentum_buffer"}),
      variant<Adam>("Adam", AdamOptions(1e-3 / 3).betas({odd, 0.99}).eps(1e-7).weight_decay(1e-4), AdamOptions(),
                    {"step", "exp_avg", "exp_avg_sq"}),
      variant<Adam>("AdamAmsgrad", AdamOptions(0.01).amsgrad(true), AdamOptions(),
                    {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
      variant<AdamW>("AdamW", AdamWOptions(1e-3 / 3).betas({0.8, odd}), AdamWOptions().amsgrad(true),
                     {"step", "exp_avg", "exp_avg_sq"}),
      variant<AdamW>("AdamWAmsgrad", AdamWOptions(0.01).amsgrad(true).weight_decay(odd), AdamWOptions(),
                     {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
      variant<Adagrad>("Adagrad", AdagradOptions(0.02).lr_decay(odd / 7).initial_accumulator_value(0.1),
                       AdagradOptions(), {"step", "sum"}),
      variant<RMSprop>("RmspropPlain", RMSpropOptions(0.002).alpha(odd), RMSpropOptions(), {"step", "square_avg"}),
      variant<RMSprop>("RmspropCentered", RMSpropOptions(0.002).centered(true).momentum(0.7).eps(1e-6),
                       RMSpropOptions(), {"step", "square_avg", "momentum_buffer", "grad_avg"}),
      variant<LBFGS>("Lbfgs", LBFGSOptions(odd).max_iter(4).history_size(3), LBFGSOptions(),
                     {"func_evals", "n_iter", "t", "prev_loss", "d", "H_diag", "prev_flat_grad", "old_dirs.0",
                      "old_stps.0", "ro.0", "al.0"}),
      variant<LBFGS>("LbfgsStrongWolfe",
                     LBFGSOptions(0.5).max_iter(5).max_eval(7).line_search_fn(std::string("strong_wolfe")),
                     LBFGSOptions(), {"func_evals", "n_iter", "t", "prev_loss", "d"}),
  };
}

class TorchOptimizer : public testing::TestWithParam<Variant> {};

INSTANTIATE_TEST_SUITE_P(Every, TorchOptimizer, testing::ValuesIn(variants()),
                         [](const auto& each) { return each.param.name; });

TEST_P(TorchOptimizer, FreshOneGoesOnBitForBit) {
  const Scratch scratch;
  const auto model = GetParam().make_net(1);
  const auto optimizer = GetParam().make(model->parameters());
  train(model, *optimizer, 0, 4);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_4", .model = model, .optimizer = optimizer});

  const auto other = GetParam().make_net(2);
  const auto restored = GetParam().make_other(other->parameters());
  const auto report =
      load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  expect_same_parameters(model, other);
  expect_same_state(*optimizer, *restored);
  EXPECT_TRUE(GetParam().same_options(*optimizer, *restored));
  for (const auto& slot : GetParam().slots) {
    const auto key = model->named_parameters()[0].key();
    EXPECT_NE(report.contents.find_tensor(object_path({"optimizer", key, slot})), nullptr) << slot;
  }

  train(model, *optimizer, 4, 4);
  train(other, *restored, 4, 4);
  expect_same_parameters(model, other);
  expect_same_state(*optimizer, *restored);
}

TEST_P(TorchOptimizer, OneWithAStateOfItsOwnGoesOnBitForBit) {
  const Scratch scratch;
  const auto model = GetParam().make_net(1);
  const auto optimizer = GetParam().make(model->parameters());
  train(model, *optimizer, 0, 3);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_3", .model = model, .optimizer = optimizer});

  const auto other = GetParam().make_net(2);
  const auto restored = GetParam().make(other->parameters());
  train(other, *restored, 50, 6);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  expect_same_state(*optimizer, *restored);
  train(model, *optimizer, 3, 3);
  train(other, *restored, 3, 3);
  expect_same_parameters(model, other);
}

TEST_P(TorchOptimizer, WithoutItsModelKeysArePositions) {
  const Scratch scratch;
  const auto model = GetParam().make_net(1);
  const auto optimizer = GetParam().make(model->parameters());
  train(model, *optimizer, 0, 3);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_3", .optimizer = optimizer});
  const auto other = GetParam().make_net(2);
  const auto restored = GetParam().make_other(other->parameters());
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.optimizer = restored});
  expect_same_state(*optimizer, *restored);
  EXPECT_TRUE(GetParam().same_options(*optimizer, *restored));
  for (const auto& slot : GetParam().slots) {
    EXPECT_NE(report.contents.find_tensor(object_path({"optimizer", "0", slot})), nullptr) << slot;
  }
}

TEST_P(TorchOptimizer, StateThatTheCheckpointDoesNotHaveGoes) {
  const Scratch scratch;
  const auto model = GetParam().make_net(1);
  const auto fresh = GetParam().make(model->parameters());
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_0", .model = model, .optimizer = fresh});
  const auto trained = GetParam().make(model->parameters());
  train(model, *trained, 0, 3);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = model, .optimizer = trained});
  expect_same_state(*fresh, *trained);
}

using torch::optim::AdamW;
using torch::optim::AdamWOptions;
using torch::optim::AdamWParamState;

std::vector<torch::optim::OptimizerParamGroup> two_groups(const Net& model, const AdamWOptions& a,
                                                          const AdamWOptions& b) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(Parameters{model->second->weight, model->mixing}, std::make_unique<AdamWOptions>(a));
  groups.emplace_back(Parameters{model->first->weight, model->first->bias, model->second->bias},
                      std::make_unique<AdamWOptions>(b));
  return groups;
}

TEST(TorchOptimizerGroups, EachHasItsOptionsAndReferencesToThemStayGood) {
  const Scratch scratch;
  const auto model = net(1);
  const auto a = AdamWOptions(0.1 + 0.2).betas({0.123456789012345678, 1.0 - 0x1p-53}).eps(5e-324).weight_decay(0);
  const auto b = AdamWOptions(1.0).amsgrad(true).eps(1e300);
  AdamW optimizer(two_groups(model, a, b), AdamWOptions());
  train(model, optimizer, 0, 2);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = optimizer});

  const auto other = net(2);
  AdamW restored(two_groups(other, AdamWOptions(), AdamWOptions()), AdamWOptions());
  auto& options = dynamic_cast<AdamWOptions&>(restored.param_groups()[1].options());
  const auto report =
      load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  EXPECT_TRUE(same_options<AdamWOptions>(optimizer, restored));
  EXPECT_TRUE(options == b);
  expect_same_state(optimizer, restored);
  const auto* document = report.contents.find_document("/optimizer/param_groups");
  ASSERT_NE(document, nullptr);
  EXPECT_EQ((*document)["optimizer"], "AdamW");
  ASSERT_EQ((*document)["groups"].size(), 2u);
  EXPECT_EQ((*document)["groups"][0]["lr"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ((*document)["groups"][1]["params"], nlohmann::json({"first.weight", "first.bias", "second.bias"}));
  EXPECT_TRUE((*document)["groups"][1]["amsgrad"].get<bool>());
}

TEST(TorchOptimizerState, SlotsThatExistAreFilledWhereTheyLie) {
  const Scratch scratch;
  const auto model = net(1);
  AdamW optimizer(model->parameters(), AdamWOptions());
  train(model, optimizer, 0, 2);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = optimizer});
  train(model, optimizer, 2, 2);
  const auto slot = dynamic_cast<AdamWParamState&>(*state_of(optimizer, model->mixing)).exp_avg();
  const auto before = copy_of(slot);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = model, .optimizer = optimizer});
  const auto& state = dynamic_cast<AdamWParamState&>(*state_of(optimizer, model->mixing));
  EXPECT_EQ(state.exp_avg().data_ptr(), slot.data_ptr());
  EXPECT_EQ(state.step(), 2);
  EXPECT_FALSE(same_bits(slot, before));
}

TEST(TorchOptimizerState, NewSlotsAreLikeThoseThatTorchMakes) {
  const Scratch scratch;
  const auto model = net(1);
  AdamW optimizer(model->parameters(), AdamWOptions());
  train(model, optimizer, 0, 1);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model, .optimizer = optimizer});
  const auto other = net(2);
  AdamW restored(other->parameters(), AdamWOptions());
  {
    const c10::InferenceMode evaluating;
    load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  }
  const auto& state = dynamic_cast<AdamWParamState&>(*state_of(restored, other->mixing));
  EXPECT_EQ(state.exp_avg().strides(), other->mixing.strides());
  EXPECT_FALSE(state.exp_avg().requires_grad());
  EXPECT_FALSE(state.exp_avg().is_inference());
  EXPECT_NO_THROW(train(other, restored, 1, 1));
}

TEST(TorchOptimizerState, ParametersWithoutGradientsHaveNone) {
  const Scratch scratch;
  const auto model = net(1);
  model->first->weight.set_requires_grad(false);
  AdamW optimizer(model->parameters(), AdamWOptions());
  train(model, optimizer, 0, 2);
  ASSERT_EQ(optimizer.state().size(), model->parameters().size() - 1);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = optimizer});
  const auto other = net(2);
  AdamW restored(other->parameters(), AdamWOptions());
  train(other, restored, 0, 1);
  ASSERT_NE(state_of(restored, other->first->weight), nullptr);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  EXPECT_EQ(state_of(restored, other->first->weight), nullptr);
  expect_same_state(optimizer, restored);
}

// Loads and expects a mismatch that names `part`, with model and optimizer as they were.
void expect_refused(const Scratch& scratch, const Net& model, Optimizer& optimizer, const LoadArgs& args,
                    const std::string& part) {
  std::vector<torch::Tensor> before;
  for (const auto& parameter : model->parameters()) {
    before.push_back(copy_of(parameter));
    if (auto* state = state_of(optimizer, parameter)) {
      for (const auto& slot : slots_of(*state))
        before.push_back(slot.second.defined() ? copy_of(slot.second) : slot.second);
    }
  }
  const auto lr = optimizer.param_groups()[0].options().get_lr();
  const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::mismatch);
  EXPECT_TRUE(has(error->what(), part)) << part << " is not in: " << error->what();
  std::size_t i = 0;
  for (const auto& parameter : model->parameters()) {
    EXPECT_TRUE(same_bits(parameter, before.at(i++)));
    if (auto* state = state_of(optimizer, parameter)) {
      for (const auto& slot : slots_of(*state)) EXPECT_TRUE(same_bits(slot.second, before.at(i++))) << slot.first;
    }
  }
  EXPECT_EQ(i, before.size());
  EXPECT_EQ(optimizer.param_groups()[0].options().get_lr(), lr);
}

class TorchOptimizerMismatch : public testing::Test {
 protected:
  TorchOptimizerMismatch() : model_(net(1)), saved_(model_->parameters(), AdamWOptions(0.25)) {
    train(model_, saved_, 0, 2);
    save_checkpoint(MPI_COMM_WORLD, scratch_.path(), SaveArgs{.tag = "step_2", .model = model_, .optimizer = saved_});
  }
  Scratch scratch_;
  Net model_;
  AdamW saved_;
};

TEST_F(TorchOptimizerMismatch, OfTheClassNamesBoth) {
  const auto other = net(2);
  torch::optim::Adam adam(other->parameters(), torch::optim::AdamOptions(0.5));
  train(other, adam, 0, 1);
  const LoadArgs args{.tag = "step_2", .model = other, .optimizer = adam};
  expect_refused(scratch_, other, adam, args, "AdamW, and is to be loaded into Adam");
}

TEST_F(TorchOptimizerMismatch, OfTheNumberOfGroups) {
  const auto other = net(2);
  AdamW optimizer(two_groups(other, AdamWOptions(), AdamWOptions()), AdamWOptions());
  train(other, optimizer, 0, 1);
  expect_refused(scratch_, other, optimizer, {.tag = "step_2", .model = other, .optimizer = optimizer},
                 "1 parameter groups");
}

TEST_F(TorchOptimizerMismatch, OfTheParametersOfAGroup) {
  const auto other = net(2);
  AdamW optimizer(Parameters{other->mixing, other->first->weight}, AdamWOptions());
  expect_refused(scratch_, other, optimizer, {.tag = "step_2", .model = other, .optimizer = optimizer},
                 "second.weight");
}

TEST_F(TorchOptimizerMismatch, OfNamesAndPositions) {
  const auto other = net(2);
  AdamW optimizer(other->parameters(), AdamWOptions());
  expect_refused(scratch_, other, optimizer, {.tag = "step_2", .optimizer = optimizer}, "was the model given");
}

TEST_F(TorchOptimizerMismatch, OfTheModelLeavesTheOptimizerAlone) {
  auto other = net(2);
  other->register_buffer("more", torch::zeros({1}));
  AdamW optimizer(other->parameters(), AdamWOptions());
  train(other, optimizer, 0, 1);
  expect_refused(scratch_, other, optimizer, {.tag = "step_2", .model = other, .optimizer = optimizer}, "/model/more");
}

TEST_F(TorchOptimizerMismatch, OfTheShapeOfASlot) {
  AdamW positions(Parameters{torch::randn({3}, torch::requires_grad())}, AdamWOptions());
  positions.param_groups()[0].params()[0].mutable_grad() = torch::ones({3});
  positions.step();
  save_checkpoint(MPI_COMM_WORLD, scratch_.path(), SaveArgs{.tag = "step_9", .optimizer = positions});
  const auto other = net(2);
  AdamW optimizer(Parameters{other->mixing}, AdamWOptions());
  expect_refused(scratch_, other, optimizer, {.tag = "step_9", .optimizer = optimizer}, "exp_avg");
}

TEST_F(TorchOptimizerMismatch, CheckpointWithoutAnOptimizer) {
  save_checkpoint(MPI_COMM_WORLD, scratch_.path(), SaveArgs{.tag = "step_9", .model = model_});
  const auto other = net(2);
  AdamW optimizer(other->parameters(), AdamWOptions());
  train(other, optimizer, 0, 1);
  expect_refused(scratch_, other, optimizer, {.tag = "step_9", .model = other, .optimizer = optimizer}, "no optimizer");
}

TEST_F(TorchOptimizerMismatch, MalformedGroupsAreNamedNotFatal) {
  const std::vector<std::pair<nlohmann::json, std::string>> documents = {
      {nullptr, "/optimizer/param_groups"},
      {nlohmann::json::array(), "/optimizer/param_groups"},
      {{{"optimizer", 1}, {"groups", nlohmann::json::array()}}, "/optimizer/param_groups"},
      {{{"optimizer", "AdamW"}, {"groups", {1}}}, "group 0: is not an object"},
      {{{"optimizer", "AdamW"}, {"groups", {nlohmann::json::object()}}}, "'params' is not an array"},
      {{{"optimizer", "AdamW"}, {"groups", {{{"params", {1, 2}}}}}}, "not a name"},
      {{{"optimizer", "AdamW"}, {"groups", {{{"params", {"mixing"}}, {"lr", "fast"}}}}}, "option 'lr'"},
      {{{"optimizer", "AdamW"}, {"groups", {{{"params", {"mixing"}}, {"betas", {1}}}}}}, "option 'betas'"},
      {{{"optimizer", "AdamW"}, {"groups", {{{"params", {"mixing"}}, {"maximize", true}}}}}, "'maximize'"},
  };
  const auto other = net(2);
  AdamW optimizer(Parameters{other->mixing}, AdamWOptions());
  for (std::size_t i = 0; i < documents.size(); ++i) {
    SCOPED_TRACE(documents[i].first.dump());
    State state;
    state.add(Document{"/optimizer/param_groups", documents[i].first});
    const auto tag = "bad_" + std::to_string(i);
    save_state(scratch_.path(), tag, state);
    for (const auto& parameter : other->parameters()) ASSERT_TRUE(parameter.defined());
    const auto error = collective_error_of([&] {
      // The model only names the parameters here; it is no part of this checkpoint.
      load_checkpoint(MPI_COMM_WORLD, scratch_.path(), LoadArgs{.tag = tag, .model = other, .optimizer = optimizer});
    });
    ASSERT_TRUE(error.has_value());
    EXPECT_TRUE(has(error->what(), documents[i].second)) << error->what();
  }
}

// A checkpoint of one parameter of two elements with the given slots of AdamW.
void save_slots(const Scratch& scratch, const std::string& tag, const std::vector<std::string>& slots) {
  static const std::vector<float> values = {1, 2};
  static const std::int64_t step = 7;
  State state;
  for (const auto& slot : slots) {
    if (slot == "step") {
      state.add("/optimizer/0/step", DType::int64, {}, &step);
    } else {
      state.add(object_path({"optimizer", "0", slot}), DType::float32, {2}, values.data());
    }
  }
  nlohmann::json group = {{"lr", 0.5},           {"betas", {0.9, 0.99}}, {"eps", 1e-8},
                          {"weight_decay", 0.0}, {"amsgrad", false},     {"params", {"0"}}};
  state.add(Document{"/optimizer/param_groups", {{"optimizer", "AdamW"}, {"groups", {group}}}});
  save_state(scratch.path(), tag, state);
}

TEST(TorchOptimizerState, WithoutAllThatAStepNeedsIsNotInstalled) {
  const Scratch scratch;
  const auto parameter = torch::zeros({2}, torch::requires_grad());
  AdamW optimizer(Parameters{parameter}, AdamWOptions());
  save_slots(scratch, "whole", {"step", "exp_avg", "exp_avg_sq"});
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "whole", .optimizer = optimizer});
  ASSERT_NE(state_of(optimizer, parameter), nullptr);
  EXPECT_EQ(dynamic_cast<AdamWParamState&>(*state_of(optimizer, parameter)).step(), 7);

  save_slots(scratch, "part", {"exp_avg", "surprise"});
  AdamW fresh(Parameters{parameter}, AdamWOptions());
  const auto error = collective_error_of(
      [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "part", .optimizer = fresh}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::mismatch);
  for (const auto* slot : {"/optimizer/0/step", "/optimizer/0/exp_avg_sq", "/optimizer/0/surprise"}) {
    EXPECT_TRUE(has(error->what(), slot)) << slot << " is not in: " << error->what();
  }
  EXPECT_TRUE(fresh.state().empty());
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(),
                                             LoadArgs{.tag = "part", .optimizer = fresh, .strict = false});
  EXPECT_TRUE(fresh.state().empty());
  EXPECT_EQ(fresh.param_groups()[0].options().get_lr(), 0.5);
  EXPECT_TRUE(std::any_of(report.skipped.begin(), report.skipped.end(),
                          [](const std::string& line) { return has(line, "/optimizer/0: "); }));
}

TEST(TorchOptimizerState, HistoriesOfLbfgsMustBeOfOneLength) {
  const Scratch scratch;
  const auto parameter = torch::zeros({2}, torch::requires_grad());
  const torch::optim::LBFGSOptions options(0.5);
  torch::optim::LBFGS optimizer(Parameters{parameter}, options);
  const auto values = torch::ones({2});
  const auto single = torch::ones({});
  const std::int64_t count = 3;
  const double number = 0.25;
  State state;
  for (const auto* slot : {"func_evals", "n_iter"}) {
    state.add(object_path({"optimizer", "0", slot}), DType::int64, {}, &count);
  }
  for (const auto* slot : {"t", "prev_loss"}) {
    state.add(object_path({"optimizer", "0", slot}), DType::float64, {}, &number);
  }
  for (const auto* slot : {"old_dirs.0", "old_dirs.1", "old_stps.0"}) {
    add_torch_tensor(state, object_path({"optimizer", "0", slot}), values);
  }
  add_torch_tensor(state, "/optimizer/0/ro.0", single);
  nlohmann::json group = {{"lr", 0.5},
                          {"max_iter", 4},
                          {"max_eval", nullptr},
                          {"tolerance_grad", 0},
                          {"tolerance_change", 0},
                          {"history_size", 5},
                          {"params", {"0"}},
                          {"line_search_fn", nullptr}};
  state.add(Document{"/optimizer/param_groups", {{"optimizer", "LBFGS"}, {"groups", {group}}}});
  save_state(scratch.path(), "odd", state);
  const auto error = collective_error_of(
      [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "odd", .optimizer = optimizer}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_TRUE(has(error->what(), "/optimizer/0: ")) << error->what();
  EXPECT_TRUE(optimizer.state().empty());
}

// A slot that the program has not made yet comes in the dtype that it was saved in.
TEST(TorchOptimizerState, SlotOfADtypeThatThisLibTorchLacksIsRefusedByName) {
  const Scratch scratch;
  for (const auto dtype : kAllDTypes) {
    if (torch_adapter::scalar_type_of(dtype)) continue;
    const auto tag = std::string(name(dtype));
    const auto parameter = torch::zeros({2}, torch::requires_grad());
    torch::optim::LBFGS optimizer(Parameters{parameter}, torch::optim::LBFGSOptions(0.5));
    const std::uint64_t number = 0;
    State state;
    state.add("/optimizer/0/H_diag", dtype, {}, &number);
    nlohmann::json group = {{"lr", 0.5},
                            {"max_iter", 4},
                            {"max_eval", nullptr},
                            {"tolerance_grad", 0},
                            {"tolerance_change", 0},
                            {"history_size", 5},
                            {"params", {"0"}},
                            {"line_search_fn", nullptr}};
    state.add(Document{"/optimizer/param_groups", {{"optimizer", "LBFGS"}, {"groups", {group}}}});
    save_state(scratch.path(), tag, state);
    const auto error = collective_error_of(
        [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = tag, .optimizer = optimizer}); });
    ASSERT_TRUE(error.has_value());
    EXPECT_TRUE(has(error->what(), "/optimizer/0/H_diag: LibTorch " TORCH_VERSION) && has(error->what(), tag))
        << error->what();
    EXPECT_TRUE(optimizer.state().empty());
  }
}

struct Forgetful : Optimizer {
  explicit Forgetful(Parameters params) : Optimizer(std::move(params), std::make_unique<AdamWOptions>()) {}
  torch::Tensor step(LossClosure) override { return {}; }
};

TEST(TorchOptimizerClass, UnknownOnOneRankFailsOnAll) {
  const Scratch scratch;
  const auto model = net(1);
  const int last = world_size() - 1;
  const OptimizerPointer optimizer = world_rank() == last
                                         ? OptimizerPointer(std::make_unique<Forgetful>(model->parameters()))
                                         : std::make_unique<AdamW>(model->parameters());
  const auto error = collective_error_of([&] {
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model, .optimizer = optimizer});
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::usage);
  EXPECT_EQ(error->failures()[0].rank, last);
  EXPECT_TRUE(has(error->what(), "Forgetful")) << error->what();
  EXPECT_FALSE(has_checkpoint(MPI_COMM_WORLD, scratch.path()));

  AdamW known(model->parameters(), AdamWOptions());
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = known});
  const auto load_error = collective_error_of(
      [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "step_2", .optimizer = optimizer}); });
  ASSERT_TRUE(load_error.has_value());
  EXPECT_TRUE(has(load_error->what(), "Forgetful")) << load_error->what();
}

TEST(TorchOptimizerKeys, ParameterOutsideTheModelIsSavedByPosition) {
  const Scratch scratch;
  const auto run = [](const Net& model, const torch::Tensor& extra, AdamW& optimizer, int steps) {
    for (int i = 0; i < steps; ++i) {
      optimizer.zero_grad();
      ((model->mixing * extra).square().sum()).backward();
      optimizer.step();
    }
  };
  const auto model = net(1);
  const auto extra = torch::full({6, 2}, 0.5).requires_grad_();
  AdamW optimizer(Parameters{model->mixing, extra}, AdamWOptions());
  run(model, extra, optimizer, 2);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = optimizer});
  const auto other = net(2);
  const auto other_extra = copy_of(extra).requires_grad_();
  AdamW restored(Parameters{other->mixing, other_extra}, AdamWOptions());
  const auto report =
      load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  EXPECT_NE(report.contents.find_tensor("/optimizer/mixing/exp_avg"), nullptr);
  EXPECT_NE(report.contents.find_tensor("/optimizer/param_1/exp_avg"), nullptr);
  expect_same_state(optimizer, restored);
}

TEST(TorchOptimizerKeys, ParametersThatWouldShareAKeyAreRefused) {
  const Scratch scratch;
  auto model = net(1);
  const auto named = model->register_parameter("param_1", torch::ones({2}));
  const auto extra = torch::ones({2}, torch::requires_grad());
  AdamW optimizer(Parameters{named, extra}, AdamWOptions());
  const auto error = collective_error_of([&] {
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model, .optimizer = optimizer});
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::usage);
  EXPECT_TRUE(has(error->what(), "'param_1'")) << error->what();
  AdamW twice(Parameters{named, named}, AdamWOptions());
  const auto twice_error = collective_error_of([&] {
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model, .optimizer = twice});
  });
  ASSERT_TRUE(twice_error.has_value());
  EXPECT_TRUE(has(twice_error->what(), "the same tensor")) << twice_error->what();
}

TEST(TorchOptimizerKeys, ParameterNamedLikeTheGroupsDocument) {
  const Scratch scratch;
  const auto build = [](double value) {
    auto module = std::make_shared<torch::nn::Module>();
    module->register_parameter("param_groups", torch::full({3}, value));
    module->register_parameter("a/b%", torch::full({3}, value));
    return module;
  };
  const auto step = [](torch::nn::Module& module, Optimizer& optimizer) {
    for (auto& parameter : module.parameters()) parameter.mutable_grad() = torch::ones_like(parameter);
    optimizer.step();
  };
  const auto model = build(1);
  AdamW optimizer(model->parameters(), AdamWOptions());
  step(*model, optimizer);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model, .optimizer = optimizer});
  const auto other = build(2);
  AdamW restored(other->parameters(), AdamWOptions());
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = other, .optimizer = restored});
  expect_same_state(optimizer, restored);
}

TEST(TorchOptimizerLenient, StateOfParametersThatAreStillThereIsLoaded) {
  const Scratch scratch;
  const auto model = net(1);
  AdamW optimizer(Parameters{model->mixing, model->first->weight}, AdamWOptions(0.125));
  train(model, optimizer, 0, 2);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = optimizer});
  const auto other = net(2);
  AdamW grown(Parameters{other->mixing, other->second->bias}, AdamWOptions());
  train(other, grown, 0, 5);
  const auto kept = copy_of(dynamic_cast<AdamWParamState&>(*state_of(grown, other->second->bias)).exp_avg());
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(),
                                             LoadArgs{.model = other, .optimizer = grown, .strict = false});
  const auto& loaded = dynamic_cast<AdamWParamState&>(*state_of(grown, other->mixing));
  const auto& saved = dynamic_cast<AdamWParamState&>(*state_of(optimizer, model->mixing));
  EXPECT_EQ(loaded.step(), 2);
  EXPECT_TRUE(same_bits(loaded.exp_avg(), saved.exp_avg()));
  const auto& left = dynamic_cast<AdamWParamState&>(*state_of(grown, other->second->bias));
  EXPECT_EQ(left.step(), 5);
  EXPECT_TRUE(same_bits(left.exp_avg(), kept));
  EXPECT_EQ(grown.param_groups()[0].options().get_lr(), 0.125);
  EXPECT_TRUE(std::any_of(report.skipped.begin(), report.skipped.end(),
                          [](const std::string& line) { return has(line, "second.bias"); }));
}

TEST(TorchOptimizerLenient, OfAnotherClassIsLeftAsItIs) {
  const Scratch scratch;
  const auto model = net(1);
  AdamW optimizer(model->parameters(), AdamWOptions(0.125));
  train(model, optimizer, 0, 2);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = model, .optimizer = optimizer});
  const auto other = net(2);
  torch::optim::SGD sgd(other->parameters(), torch::optim::SGDOptions(0.5));
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(),
                                             LoadArgs{.model = other, .optimizer = sgd, .strict = false});
  expect_same_parameters(model, other);
  EXPECT_EQ(sgd.param_groups()[0].options().get_lr(), 0.5);
  EXPECT_TRUE(sgd.state().empty());
  EXPECT_TRUE(std::any_of(report.skipped.begin(), report.skipped.end(),
                          [](const std::string& line) { return has(line, "AdamW"); }));
}

}  // namespace
}  // namespace muster::test::torch_optimizer_test
