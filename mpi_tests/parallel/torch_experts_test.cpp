// Experts: stacked into tensors [experts, out, in], and as modules of their own, on grids of tensor and expert parallel
// ranks. What any grid saved any other loads, bit for bit, against slices made by Torch.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "parallel/torch_bits.hpp"
#include "support/collective.hpp"
#include "support/scratch.hpp"

namespace muster::test::torch_experts_test {
namespace {

using torch::Tensor;

constexpr std::int64_t kWidth = 5;
constexpr std::int64_t kWide = 12;
constexpr std::int64_t kExperts = 4;
constexpr std::int64_t kGates = 7;  // in parts of expert groups that do not come out even

muster::Parallelism placements(const muster::Grid& grid, int rank, int ranks, int experts) {
  muster::Parallelism parallel{.grid = grid,
                               .rules = {muster::fused_column_parallel("attention.qkv.*", 3),
                                         muster::row_parallel("attention.projection.weight"),
                                         muster::expert_column_parallel("experts.widen"),  // [experts, out, in]
                                         muster::expert_row_parallel("experts.narrow"),
                                         muster::column_parallel("expert_*.weight")}};  // a module each: [out, in]
  // The modules of each expert group are numbered from 0, those of the job through all groups.
  const muster::ParallelGrid coordinates(grid, ranks);
  const int first = coordinates.coordinate(rank, muster::Axis::expert) * (experts / grid.expert);
  parallel.global_key = [first](const std::string& key) {
    constexpr std::string_view prefix = "expert_";
    if (!key.starts_with(prefix)) return key;
    const auto dot = key.find('.');
    const int own = std::stoi(key.substr(prefix.size(), dot - prefix.size()));
    return std::string(prefix) + std::to_string(first + own) + key.substr(dot);
  };
  return parallel;
}

std::vector<Grid> grids() {
  const int ranks = world_size();
  std::vector<Grid> all{{}};
  if (ranks == 1) return all;
  all.push_back({.tensor = ranks});
  if (kExperts % ranks == 0) all.push_back({.expert = ranks});
  if (ranks == 4) {
    all.push_back({.tensor = 2, .expert = 2});
    all.push_back({.tensor = 2, .expert = 2, .order = "ep-tp"});
    all.push_back({.expert = 2, .order = "dp-ep"});
    all.push_back({.tensor = 2, .order = "dp-tp"});
  }
  return all;
}

// The values of a tensor of the job; of its parameter, then of the optimizer's slots.
Tensor whole(const std::string& key, const std::vector<std::int64_t>& shape, int slot) {
  torch::manual_seed(std::hash<std::string>()(key) + static_cast<std::uint64_t>(slot));
  return torch::randn(shape);
}

Tensor chunk_of(const Tensor& all, std::int64_t dim, int part, int parts) {
  const auto chunks = all.chunk(parts, dim);
  if (static_cast<std::size_t>(part) < chunks.size()) return chunks[static_cast<std::size_t>(part)].contiguous();
  return all.narrow(dim, 0, 0).contiguous();
}

class Job {
 public:
  explicit Job(const Grid& grid) : grid_(resolve(grid, world_size())), coordinates_(grid_, world_size()) {
    model_ = std::make_shared<torch::nn::Module>("Experts");
    add({"attention", "qkv", "weight"}, {3 * kWide, kWidth});
    add({"attention", "qkv", "bias"}, {3 * kWide});
    add({"attention", "projection", "weight"}, {kWidth, kWide});
    add({"attention", "projection", "bias"}, {kWidth});
    add({"router"}, {kExperts, kWidth});
    add({"experts", "widen"}, {kExperts, kWide, kWidth});
    add({"experts", "narrow"}, {kExperts, kWidth, kWide});
    add({"gates"}, {kGates, 3});
    const auto own = static_cast<int>(kExperts) / grid_.expert;
    for (int i = 0; i < own; ++i) {
      const auto number = coordinates_.coordinate(world_rank(), Axis::expert) * own + i;
      for (const auto* name : {"weight", "scale"}) {
        const bool is_weight = std::string(name) == "weight";
        add({fmt::format("expert_{}", i), name},
            is_weight ? std::vector<std::int64_t>{kWide, kWidth} : std::vector<std::int64_t>{kWidth},
            fmt::format("expert_{}.{}", number, name));
      }
    }
    optimizer_ = std::make_unique<torch::optim::AdamW>(model_->parameters(), torch::optim::AdamWOptions(0.25));
  }

  void fill() {
    const torch::NoGradGuard no_grad;
    for (auto& entry : entries_) {
      entry.parameter.copy_(slice(entry, 0));
      auto state = std::make_unique<torch::optim::AdamWParamState>();
      state->step(41);
      state->exp_avg(slice(entry, 1));
      state->exp_avg_sq(slice(entry, 2));
      optimizer_->state()[optimizer_state_key(entry.parameter)] = std::move(state);
    }
  }

  void expect_filled() {
    for (auto& entry : entries_) {
      SCOPED_TRACE(entry.key);
      EXPECT_TRUE(same_bits(entry.parameter.detach(), slice(entry, 0)));
      const auto found = optimizer_->state().find(optimizer_state_key(entry.parameter));
      ASSERT_NE(found, optimizer_->state().end());
      const auto& state = dynamic_cast<torch::optim::AdamWParamState&>(*found->second);
      EXPECT_EQ(state.step(), 41);
      EXPECT_TRUE(same_bits(state.exp_avg(), slice(entry, 1)));
      EXPECT_TRUE(same_bits(state.exp_avg_sq(), slice(entry, 2)));
    }
  }

  void save(const std::filesystem::path& directory, const std::string& tag) {
    const auto& model = model_;
    const auto& optimizer = optimizer_;
    const auto comm = MPI_COMM_WORLD;
    const auto parallel = this->parallel();
    muster::save_checkpoint(comm, directory,
                            {.tag = tag, .model = model, .optimizer = optimizer, .parallel = parallel});
  }
  void load(const std::filesystem::path& directory, const std::string& tag) {
    const auto report = load_checkpoint_report(
        MPI_COMM_WORLD, directory, {.tag = tag, .model = model_, .optimizer = optimizer_, .parallel = parallel()});
    EXPECT_TRUE(report.skipped.empty());
  }

 private:
  struct Entry {
    std::string key;                  // of the job
    std::vector<std::int64_t> shape;  // global
    Tensor parameter;
  };

  [[nodiscard]] Parallelism parallel() const {
    auto parallel = placements(grid_, world_rank(), world_size(), static_cast<int>(kExperts));
    const DimensionCut uneven{.dim = 0, .axis = Axis::expert, .global_size = kGates};
    parallel.rules.push_back({.keys = "gates", .cuts = {uneven}});
    return parallel;
  }

  // `path`: of this rank's module, through modules that are made where they are not there.
  void add(const std::vector<std::string>& path, const std::vector<std::int64_t>& shape, std::string key = {}) {
    if (key.empty()) key = fmt::format("{}", fmt::join(path, "."));
    auto module = model_;
    for (std::size_t i = 0; i + 1 < path.size(); ++i) {
      const auto children = module->named_children();
      const auto* known = children.find(path[i]);
      module = known != nullptr ? *known : module->register_module(path[i], std::make_shared<torch::nn::Module>());
    }
    auto& entry = entries_.emplace_back(Entry{std::move(key), shape, {}});
    entry.parameter = module->register_parameter(path.back(), torch::zeros_like(slice(entry, 0)));
  }

  // This rank's part of the job's tensor.
  [[nodiscard]] Tensor slice(const Entry& entry, int slot) const {
    const auto& key = entry.key;
    const auto cut = [&](const Tensor& all, std::int64_t dim, Axis axis) {
      return chunk_of(all, dim, coordinates_.coordinate(world_rank(), axis), coordinates_.degree(axis));
    };
    const auto all = whole(key, entry.shape, slot);
    if (key.starts_with("attention.qkv")) {
      std::vector<Tensor> mine;
      for (const auto& each : all.chunk(3, 0)) mine.push_back(cut(each, 0, Axis::tensor));
      return torch::cat(mine, 0);
    }
    if (key == "attention.projection.weight") return cut(all, 1, Axis::tensor);
    if (key == "experts.widen") return cut(cut(all, 0, Axis::expert), 1, Axis::tensor);
    if (key == "experts.narrow") return cut(cut(all, 0, Axis::expert), 2, Axis::tensor);
    if (key == "gates") return cut(all, 0, Axis::expert);
    if (key.starts_with("expert_") && key.ends_with(".weight")) return cut(all, 0, Axis::tensor);
    return all;
  }

  Grid grid_;
  ParallelGrid coordinates_;
  std::shared_ptr<torch::nn::Module> model_;
  std::vector<Entry> entries_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

TEST(TorchExperts, GoFromAnyGridToAnyOther) {
  const Scratch scratch;
  const auto all = grids();
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE("saved by " + to_string(all[i]));
    Job job(all[i]);
    job.fill();
    job.save(scratch.path(), fmt::format("grid_{}", i));
    job.expect_filled();
    finalize_checkpoint(MPI_COMM_WORLD);  // the next job has its own grid
  }
  for (const auto& loader : all) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      SCOPED_TRACE("saved by " + to_string(all[i]) + ", loaded by " + to_string(loader));
      Job job(loader);
      job.load(scratch.path(), fmt::format("grid_{}", i));
      job.expect_filled();
      ASSERT_FALSE(testing::Test::HasFailure());
    }
  }
}

TEST(TorchExperts, HaveTheJobsKeysAndShapesInTheFile) {
  const Scratch scratch;
  for (const auto& grid : grids()) {
    SCOPED_TRACE(to_string(grid));
    Job job(grid);
    job.fill();
    job.save(scratch.path(), to_string(grid));
    finalize_checkpoint(MPI_COMM_WORLD);  // the next job has its own grid
    LoadOptions options;
    options.tag = to_string(grid);
    const auto contents = load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadTarget(), options).contents;
    std::size_t weights = 0;
    for (const auto& tensor : contents.tensors) weights += tensor.path.starts_with("/model/") ? std::size_t{1} : 0;
    EXPECT_EQ(weights, 8 + 2 * static_cast<std::size_t>(kExperts));
    const auto shape_of = [&](const std::string& path) {
      const auto* tensor = contents.find_tensor(path);
      return tensor == nullptr ? Shape{0} : tensor->shape;
    };
    for (const auto* section : {"/model/{}", "/optimizer/{}/exp_avg"}) {
      EXPECT_EQ(shape_of(fmt::format(fmt::runtime(section), "experts.widen")), (Shape{kExperts, kWide, kWidth}));
      EXPECT_EQ(shape_of(fmt::format(fmt::runtime(section), "experts.narrow")), (Shape{kExperts, kWidth, kWide}));
      EXPECT_EQ(shape_of(fmt::format(fmt::runtime(section), "gates")), (Shape{kGates, 3}));
      for (int expert = 0; expert < kExperts; ++expert) {
        const auto key = fmt::format("expert_{}", expert);
        EXPECT_EQ(shape_of(fmt::format(fmt::runtime(section), key + ".weight")), (Shape{kWide, kWidth}));
        EXPECT_EQ(shape_of(fmt::format(fmt::runtime(section), key + ".scale")), (Shape{kWidth}));
      }
    }
  }
}

// A module that does not have what the rule says.
TEST(TorchExperts, ThatARuleDoesNotFitAreRefusedBeforeAnythingIsWritten) {
  const Scratch scratch;
  const int ranks = world_size();
  const auto model = std::make_shared<torch::nn::Module>("Experts");
  model->register_parameter("experts", torch::ones({world_rank() + 2, 3}));
  const DimensionCut cut{.dim = 0, .axis = Axis::expert, .global_size = 40};
  SaveArgs args;
  args.tag = "t";
  args.model = model;
  args.parallel.grid.expert = ranks;
  args.parallel.rules = {{.keys = "experts", .cuts = {cut}}};
  const auto directory = scratch.path() / "new";
  const auto error = collective_error_of([&] { save_checkpoint(MPI_COMM_WORLD, directory, args); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::usage);
  EXPECT_TRUE(has(error->what(), "rank 0: experts (rule experts): shape [2, 3] on this rank, but its part of 40 along"))
      << error->what();
  EXPECT_TRUE(same_everywhere(error->what()));
  EXPECT_FALSE(std::filesystem::exists(directory));
}

}  // namespace
}  // namespace muster::test::torch_experts_test
