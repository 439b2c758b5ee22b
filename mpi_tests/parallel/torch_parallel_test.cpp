// Modules and optimizers that are parts of a job's: tensor parallel, pipeline stages, ZeRO-1, masters in float32. What
// any of these jobs saves, any other loads, bit for bit, against slices made by Torch.

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <set>

#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"

namespace muster::test::torch_parallel_test {
namespace {

using torch::Tensor;

constexpr std::int64_t kWidth = 6;
constexpr std::int64_t kVocabulary = 10;

struct JobKind {
  std::string name;
  int tensor = 1;
  int pipeline = 1;
  bool zero = false;  // parts over the data axis
  bool bf16 = false;  // parameters; the optimizer has masters
  bool leaves_out = false;
};

std::vector<JobKind> kinds() {
  const int ranks = world_size();
  std::vector<JobKind> all{{.name = "plain"},
                           {.name = "tp", .tensor = ranks},
                           {.name = "pp", .pipeline = ranks},
                           {.name = "zero", .zero = true},
                           {.name = "bf16", .bf16 = true},
                           {.name = "bf16-zero-left-out", .zero = true, .bf16 = true, .leaves_out = true},
                           {.name = "bf16-tp-left-out", .tensor = ranks, .bf16 = true, .leaves_out = true},
                           {.name = "bf16-pp-left-out", .pipeline = ranks, .bf16 = true, .leaves_out = true}};
  if (ranks == 4) {
    all.push_back({.name = "tp-zero", .tensor = 2, .zero = true});
    all.push_back({.name = "tp-pp-bf16", .tensor = 2, .pipeline = 2, .bf16 = true});
  }
  return all;
}

// The values of a tensor of the job: any bits but those of NaNs.
Tensor whole(const std::string& key, std::vector<std::int64_t> shape, int what) {
  torch::manual_seed(std::hash<std::string>()(key) + static_cast<std::uint64_t>(what));
  return torch::randn(shape) * (what == 0 ? 1.0 : 1e-3);
}

// A chunk of a dimension as torch.chunk makes it, or nothing where that makes fewer.
Tensor chunk_of(const Tensor& all, std::int64_t dim, int part, int parts) {
  const auto chunks = all.chunk(parts, dim);
  if (static_cast<std::size_t>(part) < chunks.size()) return chunks[static_cast<std::size_t>(part)].contiguous();
  return all.narrow(dim, 0, 0).contiguous();
}

std::int64_t step_of(const std::string& key) { return static_cast<std::int64_t>(key.size()) * 1000 + 7; }

class Job {
 public:
  explicit Job(const JobKind& kind) : kind_(kind) {
    grid_ = {.tensor = kind.tensor, .pipeline = kind.pipeline};
    const ParallelGrid grid(grid_, world_size());
    tensor_ = grid.coordinate(world_rank(), Axis::tensor);
    data_ = grid.coordinate(world_rank(), Axis::data);
    data_ranks_ = grid.degree(Axis::data);
    const int stage = grid.coordinate(world_rank(), Axis::pipeline);
    const int layers = world_size() / kind.pipeline;  // of each stage: one a rank in all
    first_layer_ = stage * layers;
    model_ = std::make_shared<torch::nn::Module>("Job");
    if (stage == 0) add("embedding", "embedding", {kVocabulary, kWidth});
    for (int layer = 0; layer < layers; ++layer) {
      const auto local = fmt::format("l{}", layer);
      const auto global = fmt::format("l{}", first_layer_ + layer);
      add(local + "_norm", global + "_norm", {kWidth});
      add(local + "_qkv", global + "_qkv", {3 * 12, kWidth});
      add(local + "_widen", global + "_widen", {24, kWidth});
      add(local + "_narrow", global + "_narrow", {kWidth, 24});
      add(local + "_narrow_bias", global + "_narrow_bias", {kWidth});
    }
    std::vector<Tensor> optimized;
    for (const auto& entry : entries_) {
      if (entry.optimized.numel() > 0) optimized.push_back(entry.optimized);
    }
    optimizer_ = std::make_unique<torch::optim::AdamW>(optimized, torch::optim::AdamWOptions(0.25));
  }

  // Parameters, masters and moments that the job has by now.
  void fill() {
    const torch::NoGradGuard no_grad;
    for (const auto& entry : entries_) {
      entry.parameter.copy_(slice(entry, 0));
      if (entry.optimized.numel() == 0) continue;
      entry.optimized.copy_(part_of_slice(entry, 0));
      auto state = std::make_unique<torch::optim::AdamWParamState>();
      state->step(step_of(entry.global_key));
      state->exp_avg(part_of_slice(entry, 1).clone());
      state->exp_avg_sq(part_of_slice(entry, 2).clone());
      optimizer_->state()[optimizer_state_key(entry.optimized)] = std::move(state);
    }
  }

  void expect_filled() {
    for (const auto& entry : entries_) {
      SCOPED_TRACE(entry.global_key);
      EXPECT_TRUE(same_bits(entry.parameter.detach(), slice(entry, 0).to(entry.parameter.scalar_type())));
      if (entry.optimized.numel() == 0) continue;
      EXPECT_TRUE(same_bits(entry.optimized.detach(), part_of_slice(entry, 0)));
      const auto state = optimizer_->state().find(optimizer_state_key(entry.optimized));
      ASSERT_NE(state, optimizer_->state().end());
      auto& moments = dynamic_cast<torch::optim::AdamWParamState&>(*state->second);
      EXPECT_EQ(moments.step(), step_of(entry.global_key));
      EXPECT_TRUE(same_bits(moments.exp_avg(), part_of_slice(entry, 1)));
      EXPECT_TRUE(same_bits(moments.exp_avg_sq(), part_of_slice(entry, 2)));
    }
  }

  [[nodiscard]] Parallelism parallel() const {
    Parallelism parallel{.grid = grid_,
                         .rules = {fused_column_parallel("*_qkv", 3), column_parallel("*_widen"),
                                   row_parallel("*_narrow"), vocabulary_parallel("embedding", kVocabulary)}};
    if (kind_.pipeline > 1) {
      parallel.global_key = [first = first_layer_](const std::string& key) {
        if (key == "embedding") return key;
        const auto bar = key.find('_');
        const int layer = std::stoi(key.substr(1, bar - 1)) + first;
        return fmt::format("l{}{}", layer, key.substr(bar));
      };
    }
    for (const auto& entry : entries_) {
      if (kind_.zero || kind_.bf16) parallel.optimizer_parts.push_back({entry.optimized, entry.parameter, entry.range});
    }
    return parallel;
  }

  [[nodiscard]] SaveArgs save_args(const std::string& tag) const {
    SaveArgs args;
    args.tag = tag;
    args.model = model_;
    args.optimizer = *optimizer_;
    args.parallel = parallel();
    args.avoid_saving_lower_precision_weights = kind_.leaves_out;
    return args;
  }
  [[nodiscard]] LoadArgs load_args(const std::string& tag) const {
    LoadArgs args;
    args.tag = tag;
    args.model = model_;
    args.optimizer = *optimizer_;
    args.parallel = parallel();
    return args;
  }

 private:
  struct Entry {
    std::string global_key;
    std::vector<std::int64_t> shape;  // global
    Tensor parameter;
    Tensor optimized;  // the parameter itself, a view of it, or a master
    ElementRange range;
  };

  void add(const std::string& key, const std::string& global_key, const std::vector<std::int64_t>& shape) {
    Entry entry{.global_key = global_key, .shape = shape, .parameter = {}, .optimized = {}, .range = {}};
    const auto local = torch::zeros_like(slice(entry, 0));
    entry.parameter = model_->register_parameter(key, kind_.bf16 ? local.to(torch::kBFloat16) : local);
    const auto rows = entry.parameter.size(0);
    const auto chunk = (rows + data_ranks_ - 1) / data_ranks_;
    const auto first = kind_.zero ? std::min(data_ * chunk, rows) : 0;
    const auto count = kind_.zero ? std::min(chunk, rows - first) : rows;
    const auto row = rows == 0 ? 0 : entry.parameter.numel() / rows;
    entry.range = {static_cast<std::uint64_t>(first * row), static_cast<std::uint64_t>(count * row)};
    if (kind_.bf16) {
      entry.optimized = torch::zeros({count * row});
    } else if (kind_.zero) {
      entry.optimized = entry.parameter.detach().view({-1}).narrow(0, first * row, count * row);
    } else {
      entry.optimized = entry.parameter;
    }
    entries_.push_back(entry);
  }

  // This rank's part of the job's tensor.
  [[nodiscard]] Tensor slice(const Entry& entry, int what) const {
    const auto& key = entry.global_key;
    const auto all = whole(key, entry.shape, what);
    if (key.ends_with("_qkv")) {
      std::vector<Tensor> mine;
      for (const auto& each : all.chunk(3, 0)) mine.push_back(chunk_of(each, 0, tensor_, kind_.tensor));
      return torch::cat(mine, 0);
    }
    if (key.ends_with("_narrow")) return chunk_of(all, 1, tensor_, kind_.tensor);
    if (key.ends_with("_widen") || key == "embedding") return chunk_of(all, 0, tensor_, kind_.tensor);
    return all;
  }
  [[nodiscard]] Tensor part_of_slice(const Entry& entry, int what) const {
    const auto mine = slice(entry, what);
    if (!kind_.zero && !kind_.bf16) return mine;
    return mine.reshape({-1}).narrow(0, static_cast<std::int64_t>(entry.range.first),
                                     static_cast<std::int64_t>(entry.range.count));
  }

  JobKind kind_;
  Grid grid_;
  int tensor_ = 0;
  int data_ = 0;
  int data_ranks_ = 1;
  int first_layer_ = 0;
  std::shared_ptr<torch::nn::Module> model_;
  std::vector<Entry> entries_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

TEST(TorchParallel, WhatAnyJobSavesAnyOtherLoads) {
  const Scratch scratch;
  for (const auto& saver : kinds()) {
    Job job(saver);
    job.fill();
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), job.save_args(saver.name));
    finalize_checkpoint(MPI_COMM_WORLD);  // the next job has its own grid
    job.expect_filled();
  }
  for (const auto& loader : kinds()) {
    for (const auto& saver : kinds()) {
      SCOPED_TRACE("saved as " + saver.name + ", loaded as " + loader.name);
      Job job(loader);
      auto args = job.load_args(saver.name);
      // Only a job of another dtype needs it, and then of float32 weights alone: bfloat16 ones have masters.
      args.convert_dtypes = loader.bf16 && !saver.bf16;
      const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), args);
      job.expect_filled();
      EXPECT_TRUE(report.skipped.empty());
      ASSERT_FALSE(testing::Test::HasFailure());
    }
  }
}

TEST(TorchParallel, TheFileHasTheJobsKeysAndShapes) {
  const Scratch scratch;
  std::map<std::string, std::set<std::string>> params;
  for (const auto& saver : kinds()) {
    SCOPED_TRACE(saver.name);
    Job job(saver);
    job.fill();
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), job.save_args(saver.name));
    finalize_checkpoint(MPI_COMM_WORLD);  // the next job has its own grid
    LoadOptions options;
    options.tag = saver.name;
    const auto contents = load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadTarget(), options).contents;
    const auto* qkv = contents.find_tensor("/model/l0_qkv");
    EXPECT_EQ(qkv == nullptr, saver.leaves_out);
    if (qkv != nullptr) {
      EXPECT_EQ(qkv->shape, (Shape{36, 6}));
    }
    const auto* master = contents.find_tensor("/optimizer/l0_qkv/master");
    EXPECT_EQ(master != nullptr, saver.bf16);
    EXPECT_EQ(contents.find_tensor("/optimizer/l0_qkv/exp_avg")->shape, (Shape{36, 6}));
    EXPECT_EQ(contents.find_tensor("/optimizer/l0_qkv/step")->shape, Shape());
    for (const auto& key : (*contents.find_document("/optimizer/param_groups"))["groups"][0]["params"]) {
      EXPECT_TRUE(params[saver.name].insert(key.get<std::string>()).second) << key;
    }
    EXPECT_EQ(params[saver.name].size(), 1 + 5 * static_cast<std::size_t>(world_size()));
    EXPECT_EQ(params[saver.name], params["plain"]);
    // Of all stages.
    std::map<std::string, std::string> left_out;
    if (saver.leaves_out) {
      for (const auto& key : params[saver.name]) left_out[key] = "bfloat16";
    }
    const auto& document = *contents.find_document("/optimizer/param_groups");
    EXPECT_EQ(document.contains("left_out"), saver.leaves_out);
    EXPECT_EQ(document.value("left_out", std::map<std::string, std::string>()), left_out);
  }
}

// A load of the model alone renews the masters: a step would put the old ones over it.
TEST(TorchParallel, MastersFollowAModelThatIsLoadedAlone) {
  const Scratch scratch;
  for (const auto& saver : kinds()) {
    if (saver.leaves_out) continue;
    SCOPED_TRACE(saver.name);
    Job saved(saver);
    saved.fill();
    auto args = saved.save_args(saver.name);
    args.optimizer = {};
    args.parallel.optimizer_parts = {};
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
    finalize_checkpoint(MPI_COMM_WORLD);  // the next job has its own grid
    auto kind = kinds().front();
    kind.bf16 = true;
    kind.zero = true;
    Job job(kind);
    auto load = job.load_args(saver.name);
    load.optimizer = {};
    load.convert_dtypes = true;
    load_checkpoint(MPI_COMM_WORLD, scratch.path(), load);
    for (const auto& [optimized, parameter, range] : load.parallel.optimizer_parts) {
      const auto values = parameter.detach().view({-1}).narrow(0, static_cast<std::int64_t>(range.first),
                                                               static_cast<std::int64_t>(range.count));
      EXPECT_TRUE(same_bits(optimized.to(torch::kBFloat16), values));
      EXPECT_TRUE(range.count == 0 || optimized.abs().sum().item<float>() > 0);
    }
  }
}

TEST(TorchParallel, LoadsInPartAndUnderOtherNames) {
  const Scratch scratch;
  const auto plain = kinds().front();
  Job job(plain);
  job.fill();
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), job.save_args("t"));
  const auto model = std::make_shared<torch::nn::Module>("Other");
  const auto renamed = model->register_parameter("tokens", torch::zeros({kVocabulary, kWidth}));
  const auto other = model->register_parameter("other", torch::ones({2}));
  LoadArgs args;
  args.tag = "t";
  args.model = model;
  args.renames = {{"embedding", "tokens"}};
  const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(has(error->what(), "missing in the checkpoint: /model/other"));
  EXPECT_TRUE(has(error->what(), "unexpected in the checkpoint: /model/l0_norm"));
  args.missing = OnDifference::ignore;
  args.unexpected = OnDifference::ignore;
  EXPECT_TRUE(load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), args).skipped.empty());
  EXPECT_TRUE(same_bits(renamed.detach(), whole("embedding", {kVocabulary, kWidth}, 0)));
  EXPECT_TRUE(same_bits(other.detach(), torch::ones({2})));

  // Of model and optimizer: the rest stays as it is.
  Job again(plain);
  auto part = again.load_args("t");
  part.only = {"/model/l0_*", "/optimizer/l0_*"};
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), part);
  std::map<std::string, torch::Tensor> parameters;
  for (const auto& item : part.model.tensors()) parameters[item.key] = item.tensor;
  EXPECT_TRUE(same_bits(parameters["l0_widen"].detach(), whole("l0_widen", {24, kWidth}, 0)));
  EXPECT_TRUE(same_bits(parameters["embedding"].detach(), torch::zeros({kVocabulary, kWidth})));
  EXPECT_EQ(part.optimizer.get()->state().size(), 5U);
}

// Of a job that left its weights out, too: they are made from masters, and the masters here follow.
TEST(TorchParallel, AModelAloneComesFromMastersAndRenewsThem) {
  const Scratch scratch;
  JobKind kind{.name = "t", .zero = true, .bf16 = true, .leaves_out = true};
  Job saved(kind);
  saved.fill();
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), saved.save_args("t"));
  Job job(kind);
  auto args = job.load_args("t");
  args.only = {"/model/*"};
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
  for (const auto& [key, tensor, is_buffer] : args.model.tensors()) {
    const auto shape = tensor.sizes().vec();
    EXPECT_TRUE(same_bits(tensor.detach(), whole(key, shape, 0).to(torch::kBFloat16))) << key;
  }
  for (const auto& [optimized, parameter, range] : args.parallel.optimizer_parts) {
    const auto values = parameter.detach().view({-1}).narrow(0, static_cast<std::int64_t>(range.first),
                                                             static_cast<std::int64_t>(range.count));
    EXPECT_TRUE(same_bits(optimized, values.to(torch::kFloat32)));
  }
  EXPECT_TRUE(args.optimizer.get()->state().empty());
}

// One tensor under two names: its master is saved under the first, and both names are found again.
TEST(TorchParallel, TiedParametersHaveOneMaster) {
  const Scratch scratch;
  struct Tied {
    explicit Tied(torch::ScalarType type, bool has_master) {
      model = std::make_shared<torch::nn::Module>("Tied");
      const auto values = torch::zeros({4, 3}, type);
      model->register_parameter("first", values);
      model->register_parameter("second", model->parameters().front());
      parameter = model->parameters().front();
      master = has_master ? torch::zeros({12}) : parameter;
      optimizer = std::make_unique<torch::optim::SGD>(std::vector<Tensor>{master}, torch::optim::SGDOptions(0.1));
      if (has_master) parallel.optimizer_parts = {{master, parameter, {0, 12}}};
    }
    std::shared_ptr<torch::nn::Module> model;
    Tensor parameter;
    Tensor master;
    std::unique_ptr<torch::optim::SGD> optimizer;
    Parallelism parallel;
  };
  Tied saved(torch::kBFloat16, true);
  torch::manual_seed(4);
  const auto values = torch::randn({12});
  {
    const torch::NoGradGuard no_grad;
    saved.master.copy_(values);
    saved.parameter.copy_(values.view({4, 3}));
  }
  for (const bool leaves_out : {false, true}) {
    SaveArgs save;
    save.tag = leaves_out ? "out" : "in";
    save.model = saved.model;
    save.optimizer = *saved.optimizer;
    save.parallel = saved.parallel;
    save.avoid_saving_lower_precision_weights = leaves_out;
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
    for (const bool has_master : {true, false}) {
      SCOPED_TRACE(save.tag + (has_master ? " into masters" : " into float32"));
      Tied again(has_master ? torch::kBFloat16 : torch::kFloat32, has_master);
      LoadArgs load;
      load.tag = save.tag;
      load.model = again.model;
      load.optimizer = *again.optimizer;
      load.parallel = again.parallel;
      load_checkpoint(MPI_COMM_WORLD, scratch.path(), load);
      EXPECT_TRUE(same_bits(again.master.detach().view({-1}), values));
      EXPECT_TRUE(same_bits(again.parameter.detach(), values.view({4, 3}).to(again.parameter.scalar_type())));
    }
  }
}

// Moments keep the dtype that the optimizer steps with.
TEST(TorchParallel, MomentsOfAnotherDtypeAreConvertedOrRefused) {
  const Scratch scratch;
  const auto optimizer_of = [](const Tensor& parameter, bool has_state) {
    auto optimizer = std::make_unique<torch::optim::AdamW>(std::vector<Tensor>{parameter});
    if (!has_state) return optimizer;
    auto state = std::make_unique<torch::optim::AdamWParamState>();
    state->step(3);
    state->exp_avg(torch::full_like(parameter, 0.5));
    state->exp_avg_sq(torch::full_like(parameter, 0.25));
    optimizer->state()[optimizer_state_key(parameter)] = std::move(state);
    return optimizer;
  };
  const auto saved = optimizer_of(torch::ones({5}, torch::kBFloat16), true);
  SaveArgs save;
  save.tag = "t";
  save.optimizer = *saved;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
  const auto parameter = torch::ones({5});
  for (const bool has_state : {false, true}) {
    const auto again = optimizer_of(parameter, has_state);
    LoadArgs load;
    load.tag = "t";
    load.optimizer = *again;
    const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), load); });
    ASSERT_TRUE(error);
    EXPECT_TRUE(has(error->what(), "/optimizer/0/exp_avg: bfloat16 [5] in the checkpoint, float32 [5] wanted"))
        << error->what();
    load.convert_dtypes = true;
    load_checkpoint(MPI_COMM_WORLD, scratch.path(), load);
    auto& state = dynamic_cast<torch::optim::AdamWParamState&>(*again->state().begin()->second);
    EXPECT_TRUE(same_bits(state.exp_avg(), torch::full({5}, 0.5)));
    EXPECT_TRUE(same_bits(state.exp_avg_sq(), torch::full({5}, 0.25)));
  }
}

// A master can be rounded to any dtype; which rounding the weights had, the file says.
TEST(TorchParallel, LeftOutWeightsComeBackInTheirDtypeOrInAnotherThatIsAskedFor) {
  const Scratch scratch;
  torch::manual_seed(5);
  const auto values = torch::randn({12});
  struct One {
    One(torch::ScalarType type, const Tensor& values) {
      model = std::make_shared<torch::nn::Module>("One");
      parameter = model->register_parameter("w", values.clone().to(type)).detach();
      master = values.clone();
      optimizer = std::make_unique<torch::optim::SGD>(std::vector<Tensor>{master}, torch::optim::SGDOptions(0.1));
      if (type != torch::kFloat32) parallel.optimizer_parts = {{master, model->parameters().front(), {0, 12}}};
    }
    std::shared_ptr<torch::nn::Module> model;
    Tensor parameter;
    Tensor master;
    std::unique_ptr<torch::optim::SGD> optimizer;
    Parallelism parallel;
  };
  for (const auto& [tag, type] : {std::pair("bfloat16", torch::kBFloat16), {"float16", torch::kHalf}}) {
    One saved(type, values);
    SaveArgs save;
    save.tag = tag;
    save.model = saved.model;
    save.optimizer = *saved.optimizer;
    save.parallel = saved.parallel;
    save.avoid_saving_lower_precision_weights = true;
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
  }
  // As files were before they said it.
  State unsaid;
  unsaid.add("/optimizer/w/master", DType::float32, {12}, values.data_ptr());
  SaveOptions unsaid_options;
  unsaid_options.tag = "unsaid";
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), unsaid, unsaid_options);
  const std::map<std::string, torch::ScalarType> known{
      {"bfloat16", torch::kBFloat16}, {"float16", torch::kHalf}, {"unsaid", torch::kBFloat16}};
  for (const auto& [tag, saved_type] : known) {
    for (const auto type : {torch::kBFloat16, torch::kHalf, torch::kFloat32}) {
      for (const bool with_optimizer : {false, true}) {
        if (with_optimizer && (tag == "unsaid" || type == torch::kFloat32)) continue;
        SCOPED_TRACE(fmt::format("{} into {}{}", tag, name(to_dtype(type)), with_optimizer ? " with optimizer" : ""));
        One again(type, torch::zeros({12}));
        LoadArgs load;
        load.tag = tag;
        load.model = again.model;
        if (with_optimizer) load.optimizer = *again.optimizer;
        load.parallel = again.parallel;
        if (type != saved_type && type != torch::kFloat32) {
          const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), load); });
          ASSERT_TRUE(error);
          EXPECT_EQ(error->kind(), ErrorKind::mismatch);
          const auto line = fmt::format(
              "\n    /model/w: {} wanted, and a master in float32 alone in the checkpoint, of weights that were {}{}",
              name(to_dtype(type)), name(to_dtype(saved_type)),
              tag == "unsaid" ? " (it does not say, so they are taken to be)" : "");
          EXPECT_TRUE(std::string(error->what()).ends_with(line)) << error->what();
          EXPECT_TRUE(same_bits(again.parameter, torch::zeros({12}, type)));
          load.strict = false;
          EXPECT_FALSE(load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), load).skipped.empty());
          EXPECT_TRUE(same_bits(again.parameter, torch::zeros({12}, type)));
          if (with_optimizer) {
            EXPECT_TRUE(same_bits(again.master, torch::zeros({12}))) << "a master beside a weight of before";
          }
          load.strict = true;
          load.convert_dtypes = true;
        }
        EXPECT_TRUE(load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), load).skipped.empty());
        EXPECT_TRUE(same_bits(again.parameter, values.to(type)));
        if (with_optimizer) {
          EXPECT_TRUE(same_bits(again.master, values));
        }
      }
    }
  }
}

// Ranks that left out the same weights in two dtypes have not the same weights.
TEST(TorchParallel, RefusesWeightsLeftOutInTwoDtypes) {
  if (world_size() < 2) GTEST_SKIP() << "ranks must differ";
  const Scratch scratch;
  const auto model = std::make_shared<torch::nn::Module>("One");
  const auto type = world_rank() == 0 ? torch::kBFloat16 : torch::kHalf;
  const auto parameter = model->register_parameter("w", torch::ones({4}, type));
  const auto master = torch::ones({4});
  torch::optim::SGD optimizer(std::vector<Tensor>{master}, torch::optim::SGDOptions(0.1));
  SaveArgs save;
  save.tag = "t";
  save.model = model;
  save.optimizer = optimizer;
  save.parallel.optimizer_parts = {{master, parameter, {0, 4}}};
  save.avoid_saving_lower_precision_weights = true;
  const auto error = collective_error_of([&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), save); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(has(error->what(), "some ranks have the parameter w in bfloat16, some in float16")) << error->what();
}

// Weights that no rank steps have no master anywhere: leaving them out would lose them.
TEST(TorchParallel, WeightsWithoutAnyMasterAreNotLeftOut) {
  const Scratch scratch;
  const auto model = std::make_shared<torch::nn::Module>("Frozen");
  const auto stepped = model->register_parameter("stepped", torch::ones({4}, torch::kBFloat16));
  const auto frozen = model->register_parameter("frozen", torch::ones({5}, torch::kBFloat16), false);
  const auto master = torch::ones({4});
  const auto none = torch::empty({0});
  torch::optim::SGD optimizer(std::vector<Tensor>{master}, torch::optim::SGDOptions(0.1));
  SaveArgs save;
  save.tag = "t";
  save.model = model;
  save.optimizer = optimizer;
  save.parallel.optimizer_parts = {{master, stepped, {0, 4}}, {none, frozen, {0, 0}}};
  save.avoid_saving_lower_precision_weights = true;
  const auto error = collective_error_of([&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), save); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(has(error->what(), "/optimizer/frozen/master")) << error->what();
  save.parallel.optimizer_parts.pop_back();
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
}

// By position, the parameters of two ranks would be taken for replicas.
TEST(TorchParallel, RefusesParametersOfWhichNothingSaysWhereTheyLie) {
  const Scratch scratch;
  const auto parameter = torch::ones({4});
  torch::optim::SGD optimizer(std::vector<Tensor>{parameter}, torch::optim::SGDOptions(0.1));
  SaveArgs save;
  save.tag = "t";
  save.optimizer = optimizer;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
  save.replace_existing = true;
  save.parallel.rules = {column_parallel("*")};
  const auto error = collective_error_of([&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), save); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(has(error->what(), "nothing says where it lies in the job's"));
}

TEST(TorchParallel, RefusesToLoadInAGridThatIsNotThatOfTheRanks) {
  const Scratch scratch;
  const auto model = std::make_shared<torch::nn::Module>("One");
  const auto parameter = model->register_parameter("w", torch::ones({4})).detach();
  SaveArgs save;
  save.tag = "t";
  save.model = model;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
  parameter.fill_(3);
  LoadArgs load;
  load.model = model;
  for (const Grid& grid : {Grid{.tensor = world_size() + 1}, Grid{.tensor = world_size(), .data = 2}}) {
    SCOPED_TRACE(to_string(grid));
    load.parallel.grid = grid;
    const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), load); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::usage);
    EXPECT_EQ(error->failures().size(), static_cast<std::size_t>(world_size()));
    EXPECT_TRUE(has(error->what(), fmt::format("grid tp={}", grid.tensor))) << error->what();
    EXPECT_TRUE(has(error->what(), fmt::format("on {} ranks", world_size()))) << error->what();
    EXPECT_TRUE(same_bits(parameter, torch::full({4}, 3.0)));
  }
  load.parallel.grid = {.data = world_size()};
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), load);
  EXPECT_TRUE(same_bits(parameter, torch::ones({4})));
}

// Where strictness is off, what is filled and what is not must not lie side by side.
TEST(TorchParallel, MastersAndParametersStayTogether) {
  const Scratch scratch;
  const auto of = [](torch::ScalarType type, torch::ScalarType master_type, double value) {
    const auto model = std::make_shared<torch::nn::Module>("One");
    const auto parameter = model->register_parameter("w", torch::full({4}, value, type));
    return std::tuple(model, OptimizerPart{torch::full({4}, value, master_type), parameter, {0, 4}});
  };
  const auto save = [&](const std::string& tag, const auto& job, bool with_master) {
    const auto& [model, part] = job;
    torch::optim::SGD optimizer(std::vector<Tensor>{part.optimized}, torch::optim::SGDOptions(0.1));
    SaveArgs args;
    args.tag = tag;
    args.model = model;
    if (with_master) {
      args.optimizer = optimizer;
      args.parallel.optimizer_parts = {part};
    }
    save_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
  };
  const auto load = [&](const std::string& tag, const auto& job) {
    const auto& [model, part] = job;
    LoadArgs args;
    args.tag = tag;
    args.model = model;
    args.strict = false;
    args.parallel.optimizer_parts = {part};
    load_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
    return std::pair(part.parameter[0].template item<double>(), part.optimized[0].template item<double>());
  };
  save("fine", of(torch::kBFloat16, torch::kFloat64, 2), true);
  save("float32", of(torch::kFloat32, torch::kFloat32, 2), false);
  // The saved master does not fit: that of before must not win over the parameter.
  EXPECT_EQ(load("fine", of(torch::kBFloat16, torch::kFloat32, 1)), std::pair(2.0, 2.0));
  // The saved parameter does not fit: no master of it beside the one of before.
  EXPECT_EQ(load("float32", of(torch::kBFloat16, torch::kFloat32, 1)), std::pair(1.0, 1.0));
}

// A model that grew, with its optimizer: what is there is loaded.
TEST(TorchParallel, MissingAndUnexpectedHoldForTheOptimizerToo) {
  const Scratch scratch;
  const auto model_of = [](const std::vector<const char*>& names) {
    auto model = std::make_shared<torch::nn::Module>("Some");
    for (const auto* name : names) model->register_parameter(name, torch::full({4}, 2.0));
    return model;
  };
  const auto step = [](torch::optim::Optimizer& optimizer) {
    for (auto& parameter : optimizer.parameters()) parameter.mutable_grad() = torch::ones({4});
    optimizer.step();
  };
  const auto saved = model_of({"a", "b"});
  torch::optim::AdamW optimizer(saved->parameters());
  step(optimizer);
  SaveArgs save;
  save.tag = "t";
  save.model = saved;
  save.optimizer = optimizer;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), save);
  const auto other = model_of({"b", "c"});
  torch::optim::AdamW fresh(other->parameters());
  LoadArgs load;
  load.tag = "t";
  load.model = other;
  load.optimizer = fresh;
  load.missing = OnDifference::ignore;
  auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), load); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(has(error->what(), "saved with 'a'") && !has(error->what(), "saved without"));
  load.unexpected = OnDifference::ignore;
  EXPECT_TRUE(load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), load).skipped.empty());
  EXPECT_EQ(fresh.state().size(), 1U);
  EXPECT_TRUE(same_bits(other->named_parameters()["b"].detach(), saved->named_parameters()["b"].detach()));
  load.missing = OnDifference::error;
  error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), load); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(has(error->what(), "saved without 'c'") && !has(error->what(), "saved with 'a'"));
}

// Of options that the core knows, one whose loss the result would not show.
TEST(TorchParallel, SaysWhoReadsToTheCore) {
  const Scratch scratch;
  Job job(kinds().front());
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), job.save_args("t"));
  auto args = job.load_args("t");
  args.read_once_per = ReadOncePer::node;
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
  args.each_rank_reads = true;  // which contradicts it
  const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::usage);
}

TEST(TorchParallel, RefusesPartsThatAreNone) {
  const Scratch scratch;
  const auto refused = [&](const OptimizerPart& part, const std::string& words) {
    Job job(kinds().front());
    auto args = job.save_args("t");
    if (!args.parallel.optimizer_parts.empty()) FAIL();
    auto given = part;
    if (!given.parameter.defined()) given.parameter = args.model.tensors().front().tensor;
    args.parallel.optimizer_parts = {given};
    const auto error = collective_error_of([&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::usage);
    EXPECT_TRUE(has(error->what(), words)) << error->what();
  };
  refused({torch::zeros({6}), {}, {0, 5}}, "of 5 elements of embedding, but optimized is [6]");
  refused({torch::zeros({6}), {}, {58, 6}}, "elements [58, 64) of embedding, which has 60");
  refused({torch::zeros({6}), torch::zeros({6}), {0, 6}}, "its parameter is not one of the model's");
  refused({torch::Tensor(), {}, {0, 6}}, "a tensor is undefined");
}

}  // namespace
}  // namespace muster::test::torch_parallel_test
