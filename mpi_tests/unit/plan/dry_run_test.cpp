// What a load would be like, against what its ranks would say one by one.

#include "plan/dry_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <muster/sharding.hpp>
#include <numeric>

#include "model/shard_boxes.hpp"
#include "plan/pipeline_stages.hpp"
#include "plan/read_plan.hpp"
#include "support/sample.hpp"

namespace muster::dry_run_test {
namespace {

using plan::dry_run;
using plan::DryRunJob;
using plan::DryRunRank;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

GlobalTensor parameter(const std::string& key, Shape shape) {
  return {object_path({"model", key}), DType::float32, std::move(shape)};
}

GlobalTensor moment(const std::string& key, Shape shape, const std::string& slot = "exp_avg") {
  return {object_path({"optimizer", key, slot}), DType::float32, std::move(shape)};
}

Catalog catalog_with(std::vector<GlobalTensor> tensors) {
  return {test::layout_of(test::replicated(3, std::move(tensors)), 4096), {}};
}

// Of four layers, big enough that several ranks wrote each.
Catalog small_model() {
  std::vector<GlobalTensor> tensors{parameter("token_emb.weight", {1024, 128}), moment("token_emb.weight", {1024, 128}),
                                    parameter("head.weight", {1024, 128}), moment("head.weight", {1024, 128})};
  for (int layer = 0; layer < 4; ++layer) {
    const auto prefix = "blocks." + std::to_string(layer) + ".";
    for (const auto& [name, shape] : {std::pair<std::string, Shape>{"up.weight", {512, 128}},
                                      {"down.weight", {128, 512}},
                                      {"norm.weight", {128}}}) {
      tensors.push_back(parameter(prefix + name, shape));
      tensors.push_back(moment(prefix + name, shape));
    }
  }
  return catalog_with(std::move(tensors));
}

const std::vector<ShardingRule> kRules{column_parallel("*.up.*"), row_parallel("*.down.*"),
                                       vocabulary_parallel("head.*")};

DryRunJob job_of(int ranks, const Grid& grid = {}, std::vector<ShardingRule> rules = {}) {
  DryRunJob job;
  job.ranks = ranks;
  job.grid = grid;
  job.rules = std::move(rules);
  return job;
}

DryRunJob zero1(DryRunJob job) {
  job.zero1 = true;
  return job;
}

TEST(PipelineStages, FindTheLayerOfAKey) {
  EXPECT_EQ(plan::layer_of("model.layers.12.mlp.3.weight"), 12U);
  EXPECT_EQ(plan::layer_of("7"), 7U);
  EXPECT_EQ(plan::layer_of("blocks.4x.weight"), std::nullopt);
  EXPECT_EQ(plan::layer_of("conv2d.weight"), std::nullopt);
  EXPECT_EQ(plan::layer_of(""), std::nullopt);
}

TEST(PipelineStages, ShareLayersOutEvenlyAndInOrder) {
  std::vector<std::string> keys{"wte", "h.0.w", "norm", "h.9.w"};
  const plan::PipelineStages stages(keys, 4, {"wte"});
  EXPECT_EQ(stages.layers(), 10U);
  std::vector<int> layers_of(4, 0);
  int before = 0;
  for (int layer = 0; layer < 10; ++layer) {
    const auto stage = stages.stage_of("h." + std::to_string(layer) + ".w");
    EXPECT_GE(stage, before);
    before = stage;
    ++layers_of.at(static_cast<std::size_t>(stage));
  }
  EXPECT_THAT(layers_of, testing::Each(testing::AnyOf(2, 3)));
  EXPECT_EQ(stages.stage_of("wte"), 0);
  EXPECT_EQ(stages.stage_of("norm"), 3);
}

TEST(DryRun, OfReplicasReadsEverythingOnceAndSendsItToAllOthers) {
  const auto catalog = small_model();
  const auto told = dry_run(catalog, job_of(4));
  EXPECT_THAT(told.problems, IsEmpty());
  std::uint64_t read = 0;
  std::uint64_t received = 0;
  std::uint64_t bytes = 0;
  for (const auto& tensor : catalog.tensors) bytes += tensor.bytes;
  for (const auto& rank : told.ranks) {
    read += rank.read_bytes;
    received += rank.received_bytes;
    EXPECT_EQ(rank.state_bytes, bytes);
    EXPECT_EQ(rank.tensors, catalog.tensors.size());
  }
  EXPECT_GE(read, bytes);  // gaps between tensors in one unit are read with them
  EXPECT_LT(read, bytes + 4096 * catalog.tensors.size());
  EXPECT_EQ(received, 3 * read);
}

TEST(DryRun, OfPartsThatNobodySharesSendsNothing) {
  const auto catalog = catalog_with({parameter("a.up.weight", {4096, 64})});
  const auto told = dry_run(catalog, job_of(4, {.tensor = 4}, {column_parallel("*")}));
  ASSERT_THAT(told.problems, IsEmpty());
  for (const auto& rank : told.ranks) EXPECT_EQ(rank.state_bytes, 4096U * 64);
  // Extents end where three ranks wrote, so that some hold parts of two.
  EXPECT_EQ(dry_run(catalog, job_of(1)).ranks[0].sent_bytes, 0U);
}

TEST(DryRun, GivesAZero1RankItsChunkOfTheOptimizerAlone) {
  const auto catalog =
      catalog_with({parameter("w", {100, 8}), moment("w", {100, 8}), {"/optimizer/w/step", DType::int64, {}}});
  const auto told = dry_run(catalog, zero1(job_of(3)));
  ASSERT_THAT(told.problems, IsEmpty());
  std::vector<std::uint64_t> state;
  for (const auto& rank : told.ranks) state.push_back(rank.state_bytes);
  EXPECT_THAT(state, ElementsAre(3200 + 34 * 32 + 8, 3200 + 34 * 32 + 8, 3200 + 32 * 32 + 8));
}

TEST(DryRun, CutsModelsAndOptimizersWithNamesByTheKeysOfTheModels) {
  auto catalog = catalog_with({{"/models/actor/up.weight", DType::float32, {8, 4}},
                               {"/models/critic/up.weight", DType::float32, {8, 2}},
                               {"/optimizers/both/actor.up.weight/exp_avg", DType::float32, {8, 4}},
                               {"/optimizers/both/critic.up.weight/exp_avg", DType::float32, {8, 2}}});
  catalog.documents["/optimizers/both/param_groups"] = R"({"models": ["actor", "critic"], "groups": []})";
  const auto told = dry_run(catalog, job_of(2, {.tensor = 2}, {column_parallel("up.*")}));
  EXPECT_THAT(told.problems, IsEmpty());
  for (const auto& rank : told.ranks) EXPECT_EQ(rank.state_bytes, 2 * (4 * 4 + 4 * 2) * 4U);
}

TEST(DryRun, LeavesOutWhatEachRankThatSavedHasForItself) {
  const auto catalog = catalog_with({parameter("w", {8}),
                                     {"/rng/cpu", DType::uint8, {3, 5056}},
                                     {"/per_rank/0/replay/0", DType::uint8, {77}},
                                     {"/mine/x", DType::uint8, {9}}});
  EXPECT_EQ(dry_run(catalog, job_of(1)).ranks[0].state_bytes, 32U + 9);
}

TEST(DryRun, NamesWhatDoesNotFit) {
  const auto catalog = small_model();
  const auto problems = [&](const DryRunJob& job) {
    const auto told = dry_run(catalog, job);
    EXPECT_THAT(told.ranks, IsEmpty());
    return told.problems;
  };
  EXPECT_THAT(problems(job_of(2, {.tensor = 2}, {row_parallel("*.sideways.*")})),
              ElementsAre(HasSubstr("*.sideways.*")));
  EXPECT_THAT(problems(job_of(5, {.pipeline = 5})),
              ElementsAre("5 pipeline stages, but 4 numbered layers to share out"));
  // The parameter and its moment, each once whatever the number of ranks.
  EXPECT_THAT(problems(job_of(8, {.tensor = 2}, {fused_column_parallel("head.*", 3)})),
              testing::UnorderedElementsAre(HasSubstr("model: head.weight"), HasSubstr("optimizer: head.weight")));
  EXPECT_THAT(dry_run(catalog_with({moment("w", {4})}), job_of(1)).notes,
              ElementsAre("state of the optimizer for no tensor of the model: /optimizer/w"));
}

TEST(DryRun, NotesWhatIsOdd) {
  const auto catalog = catalog_with({parameter("w", {3, 4}), moment("w", {3, 4}), parameter("frozen", {4})});
  const auto told = dry_run(catalog, job_of(4, {.tensor = 4}, {column_parallel("w")}));
  EXPECT_THAT(told.problems, IsEmpty());
  EXPECT_THAT(told.notes,
              testing::UnorderedElementsAre("1 of 2 tensors of the model have no exp_avg of the optimizer: frozen",
                                            HasSubstr("/model/w of shape [3, 4] is cut so that rank 3"),
                                            HasSubstr("/optimizer/w/exp_avg")));
}

// What each rank would request by itself, and what follows from it.
std::vector<DryRunRank> one_by_one(const Catalog& catalog, const DryRunJob& job) {
  const ParallelGrid grid(job.grid, job.ranks);
  std::vector<DryRunRank> all(static_cast<std::size_t>(job.ranks));
  std::vector<plan::RankRequests> all_requests;
  for (int rank = 0; rank < job.ranks; ++rank) {
    auto& share = all[static_cast<std::size_t>(rank)];
    std::vector<plan::ReadRequest> requests;
    for (std::uint32_t i = 0; i < catalog.tensors.size(); ++i) {
      const auto& tensor = catalog.tensors[i];
      const auto keys = object_keys(tensor.path);
      const auto stages = grid.degree(Axis::pipeline);
      int stage = keys[1].starts_with("token") ? 0 : stages - 1;
      if (keys[1].starts_with("blocks.")) stage = (keys[1][7] - '0') * stages / 4;
      if (stage != grid.coordinate(rank, Axis::pipeline)) continue;
      auto shard = shard_of(job.rules, keys[1], tensor.shape, grid, rank);
      if (job.zero1 && keys[0] == "optimizer") {
        auto local = tensor.shape;
        if (!shard.boxes().empty()) local = shard.boxes().front().shape;
        shard = part_of(tensor.shape, shard,
                        chunk_of_rows(local, grid.coordinate(rank, Axis::data), grid.degree(Axis::data)));
      }
      share.state_bytes += elements_held(shard, tensor.shape) * item_bytes(tensor.dtype);
      plan::append_requests(catalog, i, shard, requests);
    }
    all_requests.push_back({{rank}, std::move(requests)});
  }
  RankSet readers(all.size());
  std::iota(readers.begin(), readers.end(), 0);
  for (const auto& unit : plan::plan_reads(catalog, all_requests, readers)) {
    all[static_cast<std::size_t>(unit.reader)].read_bytes += unit.bytes;
    for (const int rank : unit.wanted_by) {
      if (rank == unit.reader) continue;
      all[static_cast<std::size_t>(unit.reader)].sent_bytes += unit.bytes;
      all[static_cast<std::size_t>(rank)].received_bytes += unit.bytes;
    }
  }
  return all;
}

TEST(DryRun, IsWhatTheRanksWouldComeToOneByOne) {
  const auto catalog = small_model();
  for (const bool chunked : {false, true}) {
    for (const Grid& grid :
         {Grid{}, Grid{.tensor = 2}, Grid{.tensor = 2, .pipeline = 2}, Grid{.pipeline = 3, .data = 2},
          Grid{.tensor = 4, .context = 2}, Grid{.tensor = 2, .order = "dp-tp"}}) {
      const int ranks = grid.pipeline == 3 ? 6 : 16;
      const auto job = chunked ? zero1(job_of(ranks, grid, kRules)) : job_of(ranks, grid, kRules);
      SCOPED_TRACE(to_string(grid) + (chunked ? " zero1" : ""));
      const auto told = dry_run(catalog, job);
      ASSERT_THAT(told.problems, IsEmpty());
      const auto expected = one_by_one(catalog, job);
      ASSERT_EQ(told.ranks.size(), expected.size());
      for (std::size_t rank = 0; rank < expected.size(); ++rank) {
        EXPECT_EQ(told.ranks[rank].state_bytes, expected[rank].state_bytes) << rank;
        EXPECT_EQ(told.ranks[rank].read_bytes, expected[rank].read_bytes) << rank;
        EXPECT_EQ(told.ranks[rank].sent_bytes, expected[rank].sent_bytes) << rank;
        EXPECT_EQ(told.ranks[rank].received_bytes, expected[rank].received_bytes) << rank;
      }
    }
  }
}

// What ranks of a node look at is not sent, and needs other buffers.
TEST(DryRun, CountsWhatGoesFromNodeToNode) {
  const auto catalog = small_model();
  auto job = job_of(4);
  const auto apart = dry_run(catalog, job);
  job.ranks_per_node = 2;
  const auto paired = dry_run(catalog, job);
  job.ranks_per_node = 4;
  const auto together = dry_run(catalog, job);
  for (std::size_t rank = 0; rank < 4; ++rank) {
    const auto read = apart.ranks[rank].read_bytes;
    EXPECT_EQ(apart.ranks[rank].sent_bytes, 3 * read);
    EXPECT_EQ(paired.ranks[rank].read_bytes, read);
    EXPECT_EQ(paired.ranks[rank].sent_bytes, 2 * read);
    EXPECT_EQ(together.ranks[rank].sent_bytes, 0U);
    EXPECT_EQ(together.ranks[rank].received_bytes, 0U);
  }
  const auto buffers = [](const plan::DryRun& told) {
    std::uint64_t bytes = 0;
    for (const auto& rank : told.ranks) bytes += rank.buffer_bytes;
    return bytes;
  };
  EXPECT_GT(buffers(apart), buffers(paired));
  EXPECT_GT(buffers(paired), buffers(together));
}

TEST(DryRun, NamesWhatTheProgramWantsAndTheFileLacks) {
  const GlobalTensor master{object_path({"optimizer", "b", "master"}), DType::float32, {8}};
  const auto catalog = catalog_with({parameter("a", {8}), moment("a", {8}), master});
  auto job = job_of(1);
  job.wanted = {"/model/a", "/model/b", "/model/c", "/optimizer/a/exp_avg_sq"};
  EXPECT_THAT(dry_run(catalog, job).problems,
              ElementsAre("missing in the checkpoint: /model/c", "missing in the checkpoint: /optimizer/a/exp_avg_sq"));
  // The master stands for /model/b; nothing else of the optimizer is loaded.
  job.wanted = {"/model/a", "/model/b"};
  const auto told = dry_run(catalog, job);
  EXPECT_THAT(told.problems, IsEmpty());
  EXPECT_THAT(
      told.notes,
      testing::Contains("2 tensors of the checkpoint are not wanted, and not counted: /optimizer/a/exp_avg, ..."));
  EXPECT_EQ(told.ranks[0].state_bytes, 2 * 8 * sizeof(float));
}

TEST(DryRun, SaysWhichDegreesChangeNothing) {
  const auto catalog = catalog_with({parameter("w", {8, 8}), moment("w", {8, 8})});
  EXPECT_THAT(dry_run(catalog, job_of(4, {.tensor = 4})).notes,
              ElementsAre("tp=4 cuts nothing without a rule: each of these ranks gets all of every tensor"));
  EXPECT_THAT(dry_run(catalog, job_of(4, {.tensor = 4}, {column_parallel("*")})).notes, IsEmpty());
  EXPECT_THAT(dry_run(catalog, zero1(job_of(1))).notes,
              ElementsAre("dp=1: ZeRO-1 has no ranks to share the optimizer's tensors out to"));
}

TEST(DryRun, TellsOfOneCauseOnce) {
  const auto catalog = catalog_with({parameter("w", {9, 8}), moment("w", {9, 8}), moment("w", {9, 8}, "exp_avg_sq")});
  const auto told =
      dry_run(catalog, job_of(2, {.tensor = 2}, {fused_column_parallel("*", std::vector<std::uint64_t>{5, 5})}));
  EXPECT_EQ(told.problems.size(), 2U) << told.problems.back();  // model, optimizer
}

// Weights that were left out are made from masters, which every rank then reads, and not its chunk alone.
TEST(DryRun, MakesLeftOutWeightsFromMasters) {
  const GlobalTensor master{object_path({"optimizer", "w", "master"}), DType::float32, {64, 8}};
  const auto told = dry_run(catalog_with({master, moment("w", {64, 8})}), zero1(job_of(4)));
  EXPECT_THAT(told.problems, IsEmpty());
  EXPECT_THAT(told.notes, ElementsAre("tensors of the model made from masters, counted as float32: 1"));
  std::uint64_t read = 0;
  for (const auto& rank : told.ranks) {
    EXPECT_EQ(rank.state_bytes, (64 + 16 + 16) * 8 * sizeof(float));
    read += rank.read_bytes;
  }
  EXPECT_EQ(read, 2 * 64 * 8 * sizeof(float));
}

}  // namespace
}  // namespace muster::dry_run_test
