// Schedulers, random generators and user content.

#include <bit>
#include <cmath>
#include <limits>

#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"

namespace muster::test {

// A scheduler that knows nothing of muster; it is taught below.
struct Plateau {
  double best = HUGE_VAL;
  int bad_epochs = 0;
};

}  // namespace muster::test

template <>
struct muster::SchedulerTraits<muster::test::Plateau> {
  static std::string name(const test::Plateau&) { return "Plateau"; }
  static nlohmann::json save(const test::Plateau& plateau) {
    return {{"best", plateau.best}, {"bad_epochs", plateau.bad_epochs}};
  }
  static void load(test::Plateau& plateau, const nlohmann::json& state) {
    plateau.best = state.at("best");
    plateau.bad_epochs = state.at("bad_epochs");
  }
};

namespace muster::test::torch_scheduler_rng_test {
namespace {

using nlohmann::json;
using torch::optim::LRScheduler;
using torch::optim::SGD;
using torch::optim::SGDOptions;
using torch::optim::StepLR;

double lr_of(torch::optim::Optimizer& optimizer) { return optimizer.param_groups()[0].options().get_lr(); }

struct Job {
  explicit Job(double lr = 0.7) : model(2, 2), optimizer(model->parameters(), SGDOptions(lr)) {}
  torch::nn::Linear model;
  SGD optimizer;
};

TEST(TorchScheduler, StepLrGoesOnWhereItWas) {
  const Scratch scratch;
  Job saved;
  StepLR scheduler(saved.optimizer, 3, 0.9);
  for (int i = 0; i < 5; ++i) scheduler.step();
  save_checkpoint(MPI_COMM_WORLD, scratch.path(),
                  SaveArgs{.tag = "step_5", .optimizer = saved.optimizer, .scheduler = scheduler});
  Job loaded(0.1);
  StepLR restored(loaded.optimizer, 3, 0.9);
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(),
                                             LoadArgs{.optimizer = loaded.optimizer, .scheduler = restored});
  EXPECT_EQ(lr_of(loaded.optimizer), lr_of(saved.optimizer));
  for (int i = 0; i < 10; ++i) {
    scheduler.step();
    restored.step();
    ASSERT_EQ(lr_of(loaded.optimizer), lr_of(saved.optimizer)) << i;
  }
  const auto* document = report.contents.find_document("/scheduler");
  ASSERT_NE(document, nullptr);
  EXPECT_EQ(*document, (json{{"class", "StepLR"}, {"state", {{"step_count", 5}, {"step_size", 3}, {"gamma", 0.9}}}}));
}

TEST(TorchScheduler, StepLrThroughItsBaseClassIsStillAStepLr) {
  const Scratch scratch;
  Job job;
  StepLR scheduler(job.optimizer, 2, 0.5);
  scheduler.step();
  scheduler.step();
  LRScheduler& base = scheduler;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .scheduler = base});
  Job other;
  const auto restored = std::make_shared<StepLR>(other.optimizer, 2, 0.5);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.scheduler = restored});
  scheduler.step();
  restored->step();
  EXPECT_EQ(lr_of(job.optimizer), 0.35);
  EXPECT_EQ(lr_of(other.optimizer), 0.35);
}

struct HalvingLr : LRScheduler {
  using LRScheduler::LRScheduler;
  std::vector<double> get_lrs() override { return {std::ldexp(1.0, -static_cast<int>(step_count_))}; }
};

TEST(TorchScheduler, DerivedOnesKeepTheirStepCount) {
  const Scratch scratch;
  Job job;
  HalvingLr scheduler(job.optimizer);
  for (int i = 0; i < 4; ++i) scheduler.step();
  save_checkpoint(MPI_COMM_WORLD, scratch.path(),
                  SaveArgs{.tag = "step_4", .optimizer = job.optimizer, .scheduler = scheduler});
  Job other;
  HalvingLr restored(other.optimizer);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.optimizer = other.optimizer, .scheduler = restored});
  scheduler.step();
  restored.step();
  EXPECT_EQ(lr_of(other.optimizer), lr_of(job.optimizer));
  EXPECT_EQ(lr_of(other.optimizer), std::ldexp(1.0, -4));
}

// Has a state_dict, and looks at one before it takes it.
struct Warmup {
  std::int64_t done = 0;
  double peak = 0.1;
  [[nodiscard]] json state_dict() const { return {{"done", done}, {"peak", peak}}; }
  void check_state_dict(const json& state) const {
    if (!state.is_object() || !state.contains("done")) throw std::runtime_error("no 'done' in the warm-up");
  }
  void load_state_dict(const json& state) {
    done = state.at("done");
    peak = state.at("peak");
  }
};

TEST(TorchScheduler, OwnClassWithAStateDict) {
  const Scratch scratch;
  Warmup saved{.done = std::numeric_limits<std::int64_t>::max(), .peak = 0.1 + 0.2};
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .scheduler = saved});
  Warmup loaded;
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.scheduler = loaded});
  EXPECT_EQ(loaded.done, saved.done);
  EXPECT_EQ(loaded.peak, saved.peak);
}

TEST(TorchScheduler, OwnClassWithTraits) {
  const Scratch scratch;
  Plateau saved;  // `best` is infinite, which JSON itself cannot say
  saved.bad_epochs = 3;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .scheduler = saved});
  Plateau loaded{.best = 1, .bad_epochs = 0};
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.scheduler = loaded});
  EXPECT_EQ(loaded.best, HUGE_VAL);
  EXPECT_EQ(loaded.bad_epochs, 3);
}

// Loads and expects a mismatch that names `part`, with the model as it was.
void expect_refused(const Scratch& scratch, SchedulerRef scheduler, const std::string& part) {
  Job job;
  const auto before = copy_of(job.model->weight);
  const auto error = collective_error_of([&] {
    load_checkpoint(
        MPI_COMM_WORLD, scratch.path(),
        LoadArgs{.tag = "saved", .model = job.model, .optimizer = job.optimizer, .scheduler = std::move(scheduler)});
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::mismatch);
  EXPECT_TRUE(has(error->what(), "/scheduler") && has(error->what(), part)) << part << ": " << error->what();
  EXPECT_TRUE(same_bits(job.model->weight, before));
  EXPECT_EQ(lr_of(job.optimizer), 0.7);
}

TEST(TorchScheduler, WhatDoesNotFitIsRefusedBeforeAnythingChanges) {
  const Scratch scratch;
  torch::manual_seed(3);
  Job saved(0.01);
  StepLR scheduler(saved.optimizer, 3, 0.9);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(),
                  SaveArgs{.tag = "saved", .model = saved.model, .optimizer = saved.optimizer, .scheduler = scheduler});
  Job job;
  StepLR other_size(job.optimizer, 4, 0.9);
  StepLR other_gamma(job.optimizer, 3, 0.8);
  HalvingLr halving(job.optimizer);
  Plateau plateau;
  Warmup warmup;
  expect_refused(scratch, other_size, "step_size 3");
  expect_refused(scratch, other_gamma, "gamma 0.9");
  expect_refused(scratch, halving, "StepLR, and is to be loaded into LRScheduler");
  expect_refused(scratch, plateau, "StepLR, and is to be loaded into Plateau");
  expect_refused(scratch, warmup, "StepLR, and is to be loaded into custom");
  EXPECT_EQ(warmup.done, 0);
  EXPECT_EQ(plateau.bad_epochs, 0);
}

TEST(TorchScheduler, MalformedOrMissingDocumentIsNamed) {
  const Scratch scratch;
  const std::vector<std::pair<json, std::string>> documents = {
      {7, "/scheduler"},
      {json::object(), "/scheduler"},
      {{{"class", 1}, {"state", 2}}, "/scheduler"},
      {{{"class", "StepLR"}}, "/scheduler"},
      {{{"class", "StepLR"}, {"state", "x"}}, "step_count"},
      {{{"class", "StepLR"}, {"state", {{"step_count", -1}, {"step_size", 3}, {"gamma", 0.9}}}}, "step_count"},
      {{{"class", "StepLR"}, {"state", {{"step_count", 1ULL << 40}, {"step_size", 3}, {"gamma", 0.9}}}}, "step_count"},
      {{{"class", "StepLR"}, {"state", {{"step_count", 1}, {"step_size", 3}, {"gamma", "x"}}}}, "gamma"},
      {{{"class", "custom"}, {"state", {{"peak", 1}}}}, "no 'done'"},
  };
  Job job;
  for (std::size_t i = 0; i <= documents.size(); ++i) {
    State state;
    if (i < documents.size()) state.add(Document{"/scheduler", documents[i].first});
    const auto tag = "bad_" + std::to_string(i);
    save_state(scratch.path(), tag, state);
    StepLR step_lr(job.optimizer, 3, 0.9);
    Warmup warmup;
    const bool own = i + 1 == documents.size();
    const auto error = collective_error_of([&] {
      load_checkpoint(MPI_COMM_WORLD, scratch.path(),
                      LoadArgs{.tag = tag, .scheduler = own ? SchedulerRef(warmup) : SchedulerRef(step_lr)});
    });
    ASSERT_TRUE(error.has_value()) << i;
    const auto part = i < documents.size() ? documents[i].second : "no scheduler";
    EXPECT_TRUE(has(error->what(), part)) << error->what();
  }
}

#if MUSTER_HAS_REDUCE_LR_ON_PLATEAU
using ReduceLr = torch::optim::ReduceLROnPlateauScheduler;

struct PlateauSettings {
  ReduceLr::SchedulerMode mode = ReduceLr::min;
  float factor = 0.3F;
  int patience = 2;
  double threshold = 0.1 + 0.2;
  ReduceLr::ThresholdMode threshold_mode = ReduceLr::abs;
  int cooldown = 3;
  std::vector<float> min_lr = {1e-3F};
  double eps = 1e-9;
};

ReduceLr reduce_lr(Job& job, const PlateauSettings& settings = {}) {
  return {job.optimizer,           settings.mode,     settings.factor, settings.patience, settings.threshold,
          settings.threshold_mode, settings.cooldown, settings.min_lr, settings.eps};
}

// A loss that falls, stays, and falls again: the scheduler counts bad epochs, cools down, and finds a new best.
float metric_of(int epoch) { return epoch % 11 < 3 ? 2.0F - 0.7F * static_cast<float>(epoch % 17) / 3.0F : 1.9F; }

// Saved after each of 40 epochs, so in every one of its states; the restored one must go on as the saved one does.
TEST(TorchScheduler, ReduceLrOnPlateauGoesOnWhereItWas) {
  bool saw_bad_epochs = false;
  bool saw_cooldown = false;
  for (int epochs = 0; epochs < 40; epochs += 3) {
    const Scratch scratch;
    Job saved;
    auto scheduler = reduce_lr(saved);
    for (int i = 0; i < epochs; ++i) scheduler.step(metric_of(i));
    save_checkpoint(MPI_COMM_WORLD, scratch.path(),
                    SaveArgs{.tag = "saved", .optimizer = saved.optimizer, .scheduler = scheduler});
    Job loaded(0.1);
    auto restored = reduce_lr(loaded);
    restored.step(-100);  // another best
    const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(),
                                               LoadArgs{.optimizer = loaded.optimizer, .scheduler = restored});
    const auto* document = report.contents.find_document("/scheduler");
    ASSERT_NE(document, nullptr);
    const auto& state = document->at("state");
    saw_bad_epochs = saw_bad_epochs || state.at("num_bad_epochs") > 0;
    saw_cooldown = saw_cooldown || state.at("cooldown_counter") > 0;
    EXPECT_EQ(SchedulerTraits<ReduceLr>::save(restored), SchedulerTraits<ReduceLr>::save(scheduler)) << epochs;
    for (int i = epochs; i < epochs + 30; ++i) {
      scheduler.step(metric_of(i));
      restored.step(metric_of(i));
      ASSERT_EQ(lr_of(loaded.optimizer), lr_of(saved.optimizer)) << epochs << ", " << i;
    }
  }
  EXPECT_TRUE(saw_bad_epochs && saw_cooldown);
}

TEST(TorchScheduler, ReduceLrOnPlateauIsSavedWithTheNamesOfPyTorch) {
  Job job;
  auto scheduler = reduce_lr(job);
  using Traits = SchedulerTraits<ReduceLr>;
  EXPECT_EQ(Traits::name(scheduler), "ReduceLROnPlateau");
  // LibTorch starts from the largest float where PyTorch starts from infinity.
  json expected = {{"mode", "min"},
                   {"factor", 0.3F},
                   {"patience", 2},
                   {"threshold", 0.1 + 0.2},
                   {"threshold_mode", "abs"},
                   {"cooldown", 3},
                   {"min_lrs", json::array({1e-3F})},
                   {"eps", 1e-9},
                   {"best", std::numeric_limits<float>::max()},
                   {"cooldown_counter", 0},
                   {"num_bad_epochs", 0},
                   {"last_epoch", 0}};
  EXPECT_EQ(Traits::save(scheduler), expected);
  for (const auto metric : {0.1F, 0.2F, 0.2F, 0.2F, 0.2F}) scheduler.step(metric);
  expected["best"] = 0.1F;
  expected["cooldown_counter"] = 2;  // it was reduced after the fourth epoch, and the fifth was the first to cool down
  expected["last_epoch"] = 5;
  EXPECT_EQ(Traits::save(scheduler), expected);
  Job other;
  const auto rising = Traits::save(reduce_lr(other, {.mode = ReduceLr::max, .threshold_mode = ReduceLr::rel}));
  EXPECT_EQ(rising.at("mode"), "max");
  EXPECT_EQ(rising.at("threshold_mode"), "rel");
}

TEST(TorchScheduler, DerivedFromReduceLrOnPlateauIsSavedAsOne) {
  struct Louder : ReduceLr {
    using ReduceLr::ReduceLr;
  };
  const Scratch scratch;
  Job job;
  Louder scheduler(job.optimizer);
  scheduler.step(0.5F);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "saved", .scheduler = scheduler});
  ReduceLr restored(job.optimizer);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.scheduler = restored});
  EXPECT_EQ(SchedulerTraits<ReduceLr>::save(restored).at("best"), 0.5);
}

TEST(TorchScheduler, ReduceLrOnPlateauRefusesOtherSettings) {
  const Scratch scratch;
  Job saved(0.01);
  auto scheduler = reduce_lr(saved);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(),
                  SaveArgs{.tag = "saved", .model = saved.model, .optimizer = saved.optimizer, .scheduler = scheduler});
  const std::vector<std::pair<PlateauSettings, std::string>> others = {
      {{.mode = ReduceLr::max}, "saved with mode \"min\", and this ReduceLROnPlateau has \"max\""},
      {{.factor = 0.4F}, "factor 0.3"},
      {{.patience = 3}, "patience 2"},
      {{.threshold = 0.3}, "threshold 0.30000000000000004"},
      {{.threshold_mode = ReduceLr::rel}, "threshold_mode"},
      {{.cooldown = 4}, "cooldown 3"},
      {{.min_lr = {2e-3F}}, "min_lrs [0.001"},
      {{.eps = 1e-8}, "eps 1e-09"},
  };
  for (const auto& [settings, part] : others) {
    Job job;
    auto other = reduce_lr(job, settings);
    expect_refused(scratch, other, part);
    EXPECT_EQ(SchedulerTraits<ReduceLr>::save(other).at("last_epoch"), 0);
  }
  Job job;
  StepLR step_lr(job.optimizer, 3, 0.9);
  expect_refused(scratch, step_lr, "ReduceLROnPlateau, and is to be loaded into StepLR");
}

TEST(TorchScheduler, MalformedReduceLrOnPlateauIsNamed) {
  const Scratch scratch;
  Job job;
  auto scheduler = reduce_lr(job);
  const std::vector<std::pair<std::string, json>> wrong = {{"best", "x"},
                                                           {"best", 0.1},
                                                           {"best", 1e300},
                                                           {"cooldown_counter", 1.5},
                                                           {"num_bad_epochs", 1ULL << 40},
                                                           {"last_epoch", -(1LL << 40)},
                                                           {"last_epoch", nullptr},
                                                           {"factor", "x"}};
  int number = 0;
  for (const auto& [name, value] : wrong) {
    auto state = SchedulerTraits<ReduceLr>::save(scheduler);
    state[name] = value;
    State file;
    file.add(Document{"/scheduler", {{"class", "ReduceLROnPlateau"}, {"state", state}}});
    const auto tag = "bad_" + std::to_string(number++);
    save_state(scratch.path(), tag, file);
    const auto error = collective_error_of(
        [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = tag, .scheduler = scheduler}); });
    ASSERT_TRUE(error.has_value()) << name << value;
    EXPECT_EQ(error->kind(), ErrorKind::mismatch);
    EXPECT_TRUE(has(error->what(), name)) << error->what();
  }
}
#endif

TEST(TorchScheduler, NullPointerIsAnError) {
  const Scratch scratch;
  const std::shared_ptr<StepLR> null;
  const auto error = collective_error_of(
      [&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .scheduler = null}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::usage);
}

TEST(TorchRng, EachRankGetsItsOwnBack) {
  const Scratch scratch;
  torch::manual_seed(static_cast<std::uint64_t>(100 + world_rank()));
  torch::randn({3});  // leaves a sample for the next call in the state
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .rng = true});
  const auto expected = torch::randn({50});
  const auto expected_integers = torch::randint(1000, {50});

  torch::manual_seed(7);
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.rng = true});
  EXPECT_TRUE(same_bits(torch::randn({50}), expected));
  EXPECT_TRUE(same_bits(torch::randint(1000, {50}), expected_integers));
  const auto* saved = report.contents.find_tensor("/rng/cpu");
  ASSERT_NE(saved, nullptr);
  ASSERT_EQ(saved->shape.size(), 2u);
  EXPECT_EQ(saved->shape[0], static_cast<std::uint64_t>(world_size()));
  // Streams of different ranks are different.
  float mine = expected[0].item<float>();
  std::vector<float> all(static_cast<std::size_t>(world_size()));
  MPI_Allgather(&mine, 1, MPI_FLOAT, all.data(), 1, MPI_FLOAT, MPI_COMM_WORLD);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST(TorchRng, IsLeftAloneUnlessAskedFor) {
  const Scratch scratch;
  torch::manual_seed(1);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .rng = true});
  torch::manual_seed(2);
  const auto expected = torch::randn({4});
  torch::manual_seed(2);
  load_checkpoint(MPI_COMM_WORLD, scratch.path());
  EXPECT_TRUE(same_bits(torch::randn({4}), expected));
}

TEST(TorchRng, RankThatTheSavingJobDidNotHaveKeepsItsOwn) {
  const Scratch scratch;
  // Rank 0 saves alone, all load.
  torch::manual_seed(5);
  if (world_rank() == 0) save_checkpoint(MPI_COMM_SELF, scratch.path(), SaveArgs{.tag = "step_1", .rng = true});
  MPI_Barrier(MPI_COMM_WORLD);
  const auto continued = torch::randn({4});
  torch::manual_seed(6);
  const auto own = torch::randn({4});
  torch::manual_seed(6);
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.rng = true});
  EXPECT_TRUE(same_bits(torch::randn({4}), world_rank() == 0 ? continued : own));
  if (world_rank() == 0) finalize_checkpoint(MPI_COMM_SELF);
}

TEST(TorchRng, FewerRanksThanSavedTakeTheirRows) {
  const Scratch scratch;
  torch::manual_seed(static_cast<std::uint64_t>(40 + world_rank()));
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .rng = true});
  const auto continued = torch::randn({4});
  torch::manual_seed(1);
  if (world_rank() == 0) {
    load_checkpoint(MPI_COMM_SELF, scratch.path(), LoadArgs{.rng = true});
    EXPECT_TRUE(same_bits(torch::randn({4}), continued));
    finalize_checkpoint(MPI_COMM_SELF);
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

TEST(TorchRng, CheckpointWithoutOneIsAMismatch) {
  const Scratch scratch;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "none"});
  State state;
  const std::vector<std::uint8_t> bytes(8);
  state.add("/rng/cpu", DType::uint8, {1, 8}, bytes.data());
  save_state(scratch.path(), "other_size", state);
  for (const auto* tag : {"none", "other_size"}) {
    const auto error = collective_error_of(
        [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = tag, .rng = true}); });
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->kind(), ErrorKind::mismatch);
    EXPECT_TRUE(has(error->what(), "/rng/cpu")) << error->what();
  }
}

bool same_double(double a, double b) { return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b); }

TEST(TorchUserContent, ComesBackToTheLastBit) {
  const Scratch scratch;
  const std::vector<double> doubles = {0.1,
                                       -0.0,
                                       std::numeric_limits<double>::quiet_NaN(),
                                       HUGE_VAL,
                                       -HUGE_VAL,
                                       5e-324,
                                       1.7976931348623157e308,
                                       0.1 + 0.2,
                                       1e15,
                                       3.0,
                                       std::bit_cast<double>(0x7ff0000000000123ULL)};
  json content = {{"int", std::numeric_limits<std::int64_t>::max()},
                  {"low", std::numeric_limits<std::int64_t>::min()},
                  {"unsigned", std::numeric_limits<std::uint64_t>::max()},
                  {"text", "größe \"重み\" \n \U0001F600 /%"},
                  {"empty", {json::object(), json::array(), "", nullptr, true, false}},
                  {"binary", json::binary({0, 1, 255}, 7)},
                  {"$double", "not a number"},
                  {"", 1}};
  for (const double value : doubles) content["doubles"].push_back(value);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .user_content = content});
  const auto loaded = load_checkpoint(MPI_COMM_WORLD, scratch.path());
  ASSERT_TRUE(loaded.has_value());
  for (const auto* key : {"int", "low", "unsigned", "text", "empty", "binary", "$double", ""}) {
    EXPECT_EQ(loaded->at(key), content.at(key)) << key;
    EXPECT_EQ(loaded->at(key).is_number_integer(), content.at(key).is_number_integer()) << key;
  }
  ASSERT_EQ(loaded->at("doubles").size(), doubles.size());
  for (std::size_t i = 0; i < doubles.size(); ++i) {
    const auto& value = loaded->at("doubles")[i];
    ASSERT_TRUE(value.is_number_float()) << i;
    EXPECT_TRUE(same_double(value.get<double>(), doubles[i])) << i << ": " << value;
  }
  EXPECT_EQ(loaded->size(), content.size());
}

TEST(TorchUserContent, NoneIsNone) {
  const Scratch scratch;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1"});
  EXPECT_FALSE(load_checkpoint(MPI_COMM_WORLD, scratch.path()).has_value());
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .user_content = false});
  EXPECT_EQ(load_checkpoint(MPI_COMM_WORLD, scratch.path()), json(false));
}

// The options of background saves may stay set in a save that is none.
TEST(TorchUserContent, OverlappedStagingNeedsAHandleInTheBackgroundAlone) {
  const Scratch scratch;
  SaveArgs args{.tag = "a", .user_content = 1, .async_save = true, .async = {.overlap_staging = true}};
  const auto error = collective_error_of([&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::usage);
  args.async_save = false;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
  EXPECT_EQ(load_checkpoint(MPI_COMM_WORLD, scratch.path()), json(1));
}

TEST(TorchUserContent, TheExampleOfTheManual) {
  const Scratch scratch;
  const MPI_Comm comm = MPI_COMM_WORLD;
  const auto ckpts = scratch.path() / "ckpts";
  torch::nn::Linear model(2, 2);
  torch::optim::AdamW optimizer(model->parameters());
  StepLR scheduler(optimizer, 1);
  muster::save_checkpoint(comm, ckpts,
                          {.tag = "step_100",
                           .model = model,
                           .optimizer = optimizer,
                           .scheduler = scheduler,
                           .user_content = {{"total_steps", 100}},
                           .num_kept_ckpts = 5});
  auto user_content = muster::load_checkpoint(comm, ckpts, {.model = model, .optimizer = optimizer});
  EXPECT_EQ(user_content, json({{"total_steps", 100}}));
}

}  // namespace
}  // namespace muster::test::torch_scheduler_rng_test
