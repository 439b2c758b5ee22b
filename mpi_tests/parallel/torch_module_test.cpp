// Modules: every kind of tensor, every kind of key, in place, bit by bit.

#include <array>
#include <set>

#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"
#include "torch/module.hpp"
#include "torch/scalar_types.hpp"

namespace muster::test::torch_module_test {
namespace {

using torch::nn::Module;

std::vector<torch::ScalarType> all_types() {
  std::vector<torch::ScalarType> types;
  for (const auto& [type, dtype] : torch_adapter::kScalarTypes) types.push_back(type);
  return types;
}
const auto kAllTypes = all_types();

// Random bits, NaNs of all kinds among them.
torch::Tensor random_bits(std::vector<std::int64_t> sizes, torch::ScalarType type) {
  if (type == torch::kBool) return torch::randint(0, 2, sizes, torch::kBool);
  const auto item = static_cast<std::int64_t>(torch::elementSize(type));
  std::int64_t count = 1;
  for (const auto size : sizes) count *= size;
  return torch::randint(0, 256, {count * item}, torch::kUInt8).view(type).view(sizes);
}

// A module whose buffers the test names.
struct Buffers : Module {
  void add(const std::string& name, torch::Tensor tensor) { register_buffer(name, std::move(tensor)); }
  void add_parameter(const std::string& name, torch::Tensor tensor, bool requires_grad = true) {
    register_parameter(name, std::move(tensor), requires_grad);
  }
};

std::set<std::string> paths_in(const LoadReport& report) {
  std::set<std::string> paths;
  for (const auto& tensor : report.contents.tensors) paths.insert(tensor.path);
  return paths;
}

TEST(TorchModule, EveryDTypeAndShapeRoundTrips) {
  const Scratch scratch;
  const std::vector<std::vector<std::int64_t>> shapes = {{}, {1}, {0}, {3, 0, 2}, {7}, {3, 5}, {2, 3, 4, 5}};
  const auto build = [&](bool filled) {
    auto module = std::make_shared<Buffers>();
    for (const auto type : kAllTypes) {
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        module->add(std::string(c10::toString(type)) + "_" + std::to_string(i),
                    filled ? random_bits(shapes[i], type) : torch::zeros(shapes[i], type));
      }
    }
    return module;
  };
  torch::manual_seed(11);  // the same on all ranks: they hold replicas
  const auto saved = build(true);
  const auto loaded = build(false);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = loaded});
  for (const auto& item : saved->named_buffers()) {
    EXPECT_TRUE(same_bits(item.value(), loaded->named_buffers()[item.key()])) << item.key();
  }
  EXPECT_EQ(report.contents.tensors.size(), kAllTypes.size() * shapes.size());
  const auto* half = report.contents.find_tensor("/model/Half_5");
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(half->dtype, DType::float16);
  EXPECT_EQ(half->shape, (Shape{3, 5}));
  EXPECT_EQ(report.contents.step, 1);
}

TEST(TorchModule, AnyStridesRoundTrip) {
  const Scratch scratch;
  const auto build = [](bool filled) {
    const auto make = [&](std::vector<std::int64_t> sizes, torch::ScalarType type) {
      return filled ? random_bits(sizes, type) : torch::zeros(sizes, type);
    };
    auto module = std::make_shared<Buffers>();
    module->add_parameter("transposed", make({40, 30}, torch::kFloat32).t());
    module->add("permuted", make({3, 4, 5, 6}, torch::kInt16).permute({2, 0, 3, 1}));
    module->add("every_third", make({50}, torch::kInt64).slice(0, 1, 50, 3));
    module->add("channels_last", make({2, 3, 4, 5}, torch::kBFloat16).contiguous(torch::MemoryFormat::ChannelsLast));
    module->add("offset", make({10, 4}, torch::kFloat64).slice(0, 3, 8));
    module->add("conjugated", make({4, 5}, torch::kComplexFloat).conj());
    // Larger than any buffer between memory and file, so that it passes in several ranges.
    module->add("large", make({1100, 2000}, torch::kFloat64).t());
    return module;
  };
  torch::manual_seed(12);
  const auto saved = build(true);
  const auto loaded = build(false);
  ASSERT_FALSE(saved->named_parameters()["transposed"].is_contiguous());
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = loaded});
  EXPECT_TRUE(same_bits(saved->named_parameters()["transposed"], loaded->named_parameters()["transposed"]));
  for (const auto& item : saved->named_buffers()) {
    EXPECT_TRUE(same_bits(item.value(), loaded->named_buffers()[item.key()])) << item.key();
  }
}

TEST(TorchModule, StridesNeedNotBeThoseThatWereSaved) {
  const Scratch scratch;
  torch::manual_seed(13);
  auto saved = std::make_shared<Buffers>();
  saved->add("a", torch::randn({4, 6}));
  saved->add("b", torch::randn({6, 4}).t());
  saved->add("same", torch::randn({1, 5}).expand({3, 5}));
  auto loaded = std::make_shared<Buffers>();
  loaded->add("a", torch::zeros({6, 4}).t());
  loaded->add("b", torch::zeros({4, 6}));
  loaded->add("same", torch::zeros({3, 5}));
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = loaded});
  for (const auto& item : saved->named_buffers()) {
    EXPECT_TRUE(same_bits(item.value(), loaded->named_buffers()[item.key()])) << item.key();
  }
}

struct NestedImpl : Module {
  NestedImpl()
      : layers(torch::nn::Sequential(torch::nn::Linear(4, 3), torch::nn::BatchNorm1d(3), torch::nn::ReLU(),
                                     torch::nn::Linear(torch::nn::LinearOptions(3, 2).bias(false)))) {
    register_module("layers", layers);
    scale = register_parameter("scale", torch::randn({}));
    register_parameter("absent", torch::Tensor(), false);
    register_buffer("absent_buffer", torch::Tensor());
  }
  torch::nn::Sequential layers;
  torch::Tensor scale;
};
TORCH_MODULE(Nested);

TEST(TorchModule, KeysAreThoseOfTheStateDict) {
  const Scratch scratch;
  torch::manual_seed(14);
  Nested saved;
  torch::manual_seed(15);
  Nested loaded;
  ASSERT_FALSE(same_bits(saved->scale, loaded->scale));
  saved->layers->forward(torch::randn({8, 4}));  // moves the running statistics
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = loaded});
  EXPECT_EQ(paths_in(report), (std::set<std::string>{"/model/scale", "/model/layers.0.weight", "/model/layers.0.bias",
                                                     "/model/layers.1.weight", "/model/layers.1.bias",
                                                     "/model/layers.1.running_mean", "/model/layers.1.running_var",
                                                     "/model/layers.1.num_batches_tracked", "/model/layers.3.weight"}));
  EXPECT_TRUE(same_bits(saved->scale, loaded->scale));
  for (const auto& item : saved->layers->named_parameters()) {
    EXPECT_TRUE(same_bits(item.value(), loaded->layers->named_parameters()[item.key()])) << item.key();
  }
  for (const auto& item : saved->layers->named_buffers()) {
    EXPECT_TRUE(same_bits(item.value(), loaded->layers->named_buffers()[item.key()])) << item.key();
  }
}

// The forward pass writes buffers, and may run while a background save copies.
TEST(TorchModule, BuffersAreCopiedAtOnceWhereTheRestIsCopiedLater) {
  Nested module;
  const auto norm = module->layers[1]->as<torch::nn::BatchNorm1d>();
  norm->running_mean.fill_(1.5);
  TrainingState objects;
  objects.add_model(module);
  const auto state = objects.describe({.rank = 0, .ranks = 1, .grid = {}, .overlap_staging = true});
  module->layers->forward(torch::randn({8, 4}));
  ASSERT_NE(norm->running_mean[0].item<float>(), 1.5F);
  int buffers = 0;
  for (const auto& item : module->named_buffers()) {
    const auto path = object_path({"model", item.key()});
    const auto described = std::ranges::find(state.tensors(), path, [](const auto& t) { return t.description.path; });
    ASSERT_NE(described, state.tensors().end()) << path;
    ASSERT_NE(described->memory.data, static_cast<std::byte*>(item.value().data_ptr())) << path;
    if (item.key() != "layers.1.running_mean") continue;
    ++buffers;
    std::array<float, 3> values{};
    std::memcpy(values.data(), described->memory.data, sizeof values);
    EXPECT_EQ(values, (std::array<float, 3>{1.5F, 1.5F, 1.5F}));
  }
  EXPECT_EQ(buffers, 1);
}

TEST(TorchModule, KeysMayHoldAnyCharacter) {
  const Scratch scratch;
  const std::vector<std::string> names = {"a/b",  "a%2Fb", "%",      "a b\tc\n", "größe", "重み", "\U0001F600",
                                          "\\\"", "/",     "//x//y", "{}[]:,",   "~",     "a%",   "tag"};
  auto saved = std::make_shared<Buffers>();
  auto loaded = std::make_shared<Buffers>();
  for (std::size_t i = 0; i < names.size(); ++i) {
    saved->add(names[i], torch::full({2}, static_cast<double>(i + 1)));
    loaded->add(names[i], torch::zeros({2}));
  }
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = loaded});
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_TRUE(same_bits(saved->named_buffers()[names[i]], loaded->named_buffers()[names[i]])) << names[i];
    EXPECT_NE(report.contents.find_tensor(object_path({"model", names[i]})), nullptr) << names[i];
  }
}

TEST(TorchModule, TiedParametersAreSavedUnderBothNamesAndStayTied) {
  const Scratch scratch;
  const auto build = [] {
    auto module = std::make_shared<Buffers>();
    const auto weight = torch::randn({5, 3});
    module->add_parameter("embedding", weight);
    module->add_parameter("head", module->named_parameters()["embedding"]);
    module->add("view", module->named_parameters()["embedding"].detach().t());
    return module;
  };
  torch::manual_seed(16);
  const auto saved = build();
  const auto loaded = build();
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  const auto report = load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = loaded});
  EXPECT_EQ(paths_in(report), (std::set<std::string>{"/model/embedding", "/model/head", "/model/view"}));
  EXPECT_TRUE(same_bits(saved->named_parameters()["head"], loaded->named_parameters()["embedding"]));
  EXPECT_EQ(loaded->named_parameters()["head"].data_ptr(), loaded->named_parameters()["embedding"].data_ptr());
}

TEST(TorchModule, LoadsInPlaceAndAutogradKnows) {
  const Scratch scratch;
  torch::nn::Linear model(3, 2);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model});
  const auto expected = copy_of(model->weight);
  const auto* memory = model->weight.data_ptr();
  {
    const torch::NoGradGuard no_grad;
    model->weight.zero_();
  }
  const auto loss = (model->weight * model->weight).sum();
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = model});
  EXPECT_EQ(model->weight.data_ptr(), memory);
  EXPECT_TRUE(model->weight.requires_grad() && model->weight.is_leaf());
  EXPECT_TRUE(same_bits(model->weight, expected));
  EXPECT_THROW(loss.backward(), c10::Error) << "a gradient of overwritten values";
}

TEST(TorchModule, EveryWayToNameAModule) {
  const Scratch scratch;
  torch::manual_seed(17);
  torch::nn::Linear holder(2, 2);
  const std::shared_ptr<torch::nn::LinearImpl> pointer = holder.ptr();
  const std::shared_ptr<Module> base = pointer;
  Module& reference = *pointer;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "a", .model = holder});
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "b", .model = pointer});
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "c", .model = base});
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "d", .model = reference});
  for (const auto* tag : {"a", "b", "c", "d"}) {
    torch::nn::Linear loaded(2, 2);
    load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = tag, .model = loaded});
    EXPECT_TRUE(same_bits(loaded->weight, holder->weight)) << tag;
  }
}

std::shared_ptr<Buffers> mismatched_source() {
  auto module = std::make_shared<Buffers>();
  module->add("same", torch::ones({4}));
  module->add("reshaped", torch::ones({2, 3}));
  module->add("retyped", torch::ones({4}, torch::kFloat32));
  module->add("only_saved", torch::ones({1}));
  return module;
}

std::shared_ptr<Buffers> mismatched_target() {
  auto module = std::make_shared<Buffers>();
  module->add("same", torch::zeros({4}));
  module->add("reshaped", torch::zeros({3, 2}));
  module->add("retyped", torch::zeros({4}, torch::kFloat64));
  module->add("only_wanted", torch::zeros({1}));
  return module;
}

TEST(TorchModule, StrictLoadListsAllMismatchesAndChangesNothing) {
  const Scratch scratch;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = mismatched_source()});
  const auto target = mismatched_target();
  const auto error = collective_error_of(
      [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "step_1", .model = target}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::mismatch);
  for (const auto* part : {"reshaped", "retyped", "only_saved", "only_wanted"}) {
    EXPECT_TRUE(has(error->what(), part)) << part << " is not in: " << error->what();
  }
  EXPECT_FALSE(has(error->what(), "/model/same")) << error->what();
  for (const auto& item : target->named_buffers()) {
    EXPECT_EQ(item.value().count_nonzero().item<std::int64_t>(), 0) << item.key();
  }
}

TEST(TorchModule, ACheckOnOneRankRefusesOnAllAndChangesNothing) {
  const Scratch scratch;
  torch::manual_seed(3);
  torch::nn::Linear saved(3, 2);
  torch::nn::Linear loaded(3, 2);
  const torch::NoGradGuard no_grad;
  loaded->weight.fill_(7);
  save_checkpoint(MPI_COMM_WORLD, scratch.path(),
                  SaveArgs{.tag = "t", .model = saved, .user_content = nlohmann::json{{"width", 3}}});
  int rank = 0;
  int ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  LoadArgs args{.model = loaded};
  args.check = [&](const CheckpointContents& contents) {
    EXPECT_EQ(contents.find_document("/user_content")->at("width"), 3);
    if (rank == ranks - 1) throw Error(ErrorKind::mismatch, "another width");
  };
  const auto error = collective_error_of([&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), args); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::mismatch);
  EXPECT_TRUE(has(error->what(), "another width")) << error->what();
  EXPECT_TRUE((loaded->weight == 7).all().item<bool>());
  args.check = [](const CheckpointContents&) {};
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), args);
  EXPECT_FALSE((loaded->weight == 7).any().item<bool>());
}

TEST(TorchModule, LenientLoadTakesWhatFitsAndListsTheRest) {
  const Scratch scratch;
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = mismatched_source()});
  const auto target = mismatched_target();
  const auto report =
      load_checkpoint_report(MPI_COMM_WORLD, scratch.path(), LoadArgs{.model = target, .strict = false});
  EXPECT_TRUE(same_bits(target->named_buffers()["same"], torch::ones({4})));
  for (const auto* name : {"reshaped", "retyped", "only_wanted"}) {
    EXPECT_EQ(target->named_buffers()[name].count_nonzero().item<std::int64_t>(), 0) << name;
    EXPECT_TRUE(std::any_of(report.skipped.begin(), report.skipped.end(), [&](const std::string& line) {
      return has(line, name);
    })) << name;
  }
}

TEST(TorchModule, SparseBufferOnOneRankFailsOnAllAndNothingIsPublished) {
  const Scratch scratch;
  const int last = world_size() - 1;
  auto module = std::make_shared<Buffers>();
  module->add("dense", torch::ones({2}));
  module->add("table", world_rank() == last ? torch::eye(3).to_sparse() : torch::eye(3));
  const auto error = collective_error_of(
      [&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = module}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::usage);
  ASSERT_EQ(error->failures().size(), 1u);
  EXPECT_EQ(error->failures()[0].rank, last);
  EXPECT_TRUE(has(error->what(), "/model/table")) << error->what();
  EXPECT_FALSE(has_checkpoint(MPI_COMM_WORLD, scratch.path()));
  // The job goes on.
  auto dense = std::make_shared<Buffers>();
  dense->add("dense", torch::ones({2}));
  EXPECT_NO_THROW(save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_2", .model = dense}));
}

TEST(TorchModule, NullModelIsAnErrorNotAnEmptyCheckpoint) {
  const Scratch scratch;
  const std::shared_ptr<Module> null;
  torch::nn::Linear empty = nullptr;
  for (const ModelRef& model : {ModelRef(null), ModelRef(empty)}) {
    const auto error = collective_error_of(
        [&] { save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = model}); });
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->kind(), ErrorKind::usage);
  }
  EXPECT_FALSE(has_checkpoint(MPI_COMM_WORLD, scratch.path()));
}

// As LibTorch's own load does: the tensor gets memory of its own.
TEST(TorchModule, TensorWhoseElementsShareMemoryIsLoadedInto) {
  const Scratch scratch;
  auto saved = std::make_shared<Buffers>();
  saved->add("a", torch::ones({1, 3}).expand({2, 3}));
  saved->add("b", torch::ones({2}));
  save_checkpoint(MPI_COMM_WORLD, scratch.path(), SaveArgs{.tag = "step_1", .model = saved});
  auto loaded = std::make_shared<Buffers>();
  loaded->add("a", torch::zeros({1, 3}).expand({2, 3}));
  loaded->add("b", torch::zeros({2}));
  const auto a = loaded->named_buffers()["a"];
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "step_1", .model = loaded});
  EXPECT_TRUE(same_bits(a, torch::ones({2, 3})));
  EXPECT_TRUE(same_bits(loaded->named_buffers()["b"], torch::ones({2})));
  // Nothing changes if another tensor does not fit.
  loaded->add("c", torch::zeros({5}));
  a.set_data(torch::zeros({1, 3}).expand({2, 3}));
  const auto error = collective_error_of(
      [&] { load_checkpoint(MPI_COMM_WORLD, scratch.path(), LoadArgs{.tag = "step_1", .model = loaded}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_TRUE(same_bits(a, torch::zeros({2, 3})));
}

}  // namespace
}  // namespace muster::test::torch_module_test
