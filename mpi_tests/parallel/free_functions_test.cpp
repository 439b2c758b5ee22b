// The free functions and the communicators that their Checkpointers hang on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/collective.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::free_functions_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::world_rank;
using test::world_size;

class FreeFunctions : public testing::Test {
 protected:
  void expect_round_trip(MPI_Comm comm, const std::string& name, int seed) {
    Model model(seed);
    Model again(-1);
    save_checkpoint(comm, scratch_.path() / name, model.state(),
                    {.tag = "t" + std::to_string(seed), .replace_existing = true});
    EXPECT_TRUE(has_checkpoint(comm, scratch_.path() / name));
    load_checkpoint(comm, scratch_.path() / name, again.target());
    EXPECT_EQ(again, model);
  }

  Scratch scratch_;
};

TEST_F(FreeFunctions, UseOneCheckpointerForADirectory) {
  auto& first = shared_checkpointer(MPI_COMM_WORLD, scratch_.path() / "a");
  EXPECT_EQ(&first, &shared_checkpointer(MPI_COMM_WORLD, scratch_.path() / "b" / ".." / "a"));
  EXPECT_NE(&first, &shared_checkpointer(MPI_COMM_WORLD, scratch_.path() / "b"));
  finalize_checkpoint(MPI_COMM_WORLD);
}

TEST_F(FreeFunctions, KeepThePlanFromOneCallToTheNext) {
  Model model(1);
  EXPECT_FALSE(save_checkpoint(MPI_COMM_WORLD, scratch_.path(), model.state(), {.tag = "a"}).plan_reused);
  EXPECT_TRUE(save_checkpoint(MPI_COMM_WORLD, scratch_.path(), model.state(), {.tag = "b"}).plan_reused);
  finalize_checkpoint(MPI_COMM_WORLD);
  EXPECT_FALSE(save_checkpoint(MPI_COMM_WORLD, scratch_.path(), model.state(), {.tag = "c"}).plan_reused);
}

// Whatever is fixed for a run: a later call with another value names both values, writes nothing, and the run goes on.
TEST_F(FreeFunctions, RefuseOtherOptionsForTheRunInALaterCall) {
  Model model(1);
  const auto save = [&](const std::string& tag, const CheckpointerOptions& options) {
    save_checkpoint(MPI_COMM_WORLD, scratch_.path(), model.state(), {.tag = tag}, options);
  };
  const CheckpointerOptions first = {.retention = {.newest = 2},
                                     .engine = EngineChoice::direct,
                                     .hints = {{"cb_nodes", "1"}},
                                     .grid = {.data = world_size()},
                                     .alignment_bytes = 8192,
                                     .timeout_s = 100};
  EXPECT_FALSE(has_checkpoint(MPI_COMM_WORLD, scratch_.path()));  // calls without options may come before
  save("a", first);
  struct Other {
    CheckpointerOptions options;
    std::string message;
  };
  std::vector<Other> others(7, Other{first, {}});
  others[0].options.retention.newest = 3;
  others[0].message = "the option retention.newest (num_kept_ckpts) is 3, and was 2 in an earlier call";
  others[1].options.retention.newest.reset();
  others[1].message = "the option retention.newest (num_kept_ckpts) is unset, and was 2 in an earlier call";
  others[2].options.engine = EngineChoice::collective;
  others[2].message = "the option engine is collective, and was direct in an earlier call";
  others[3].options.hints.clear();
  others[3].message = "the option hints is none, and was cb_nodes=1 in an earlier call";
  others[4].options.alignment_bytes = 4096;
  others[4].message = "the option alignment_bytes is 4096, and was 8192 in an earlier call";
  others[5].options.timeout_s = 50;
  others[5].message = "the option timeout_s is 50, and was 100 in an earlier call";
  others[6].options.take_over = true;
  others[6].message = "the option take_over is on, and was off in an earlier call";
  if (world_size() > 1) {
    others.push_back({first, "the option grid is tp=" + std::to_string(world_size())});
    others.back().options.grid = {.tensor = world_size()};
  }
  for (const auto& [options, message] : others) {
    const auto error = collective_error(ErrorKind::usage, "agree", [&] { save("other", options); });
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
  auto same = first;
  same.grid.data = 0;  // is computed, and has the same value
  save("b", same);
  save("c", first);
  const auto tag_exists = [&](const char* tag) {
    return std::filesystem::exists(scratch_.path() / (std::string(tag) + ".h5"));
  };
  if (world_rank() == 0) {
    EXPECT_FALSE(tag_exists("a"));  // the two newest are kept
    EXPECT_TRUE(tag_exists("b"));
    EXPECT_FALSE(tag_exists("other"));
  }
  EXPECT_EQ(shared_checkpointer(MPI_COMM_WORLD, scratch_.path()).latest_tag(), "c");
  finalize_checkpoint(MPI_COMM_WORLD);
  save("d", {});  // a run that follows has its own options
}

TEST_F(FreeFunctions, MayBeFinalizedTwiceAndUsedAgain) {
  finalize_checkpoint(MPI_COMM_WORLD);
  expect_round_trip(MPI_COMM_WORLD, "a", 1);
  finalize_checkpoint(MPI_COMM_WORLD);
  finalize_checkpoint(MPI_COMM_WORLD);
  expect_round_trip(MPI_COMM_WORLD, "a", 2);
}

TEST_F(FreeFunctions, LetGoWhenACommunicatorIsFreed) {
  // Open MPI hands the handle of a freed communicator out again: what hung on the old one must be gone.
  for (int round = 0; round < 20; ++round) {
    MPI_Comm comm = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, round % 2 == 0 ? 0 : world_rank() % 2, world_rank(), &comm);
    expect_round_trip(comm, "c" + std::to_string(round % 2 == 0 ? 2 : world_rank() % 2), round);
    MPI_Comm_free(&comm);
  }
}

TEST_F(FreeFunctions, LetGoInMpiFinalizeOfCommunicatorsNeverFreed) {
  // Left for MPI_Finalize at the end of this program, in an order that differs from that of their handles.
  MPI_Comm first = MPI_COMM_NULL;
  MPI_Comm second = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &first);
  MPI_Comm_split(MPI_COMM_WORLD, world_rank() % 2, 0, &second);
  expect_round_trip(second, "d" + std::to_string(world_rank() % 2), 1);
  expect_round_trip(first, "d2", 2);
  expect_round_trip(MPI_COMM_WORLD, "d3", 3);
  expect_round_trip(MPI_COMM_SELF, "e" + std::to_string(world_rank()), 4);
}

}  // namespace
}  // namespace muster::free_functions_test
