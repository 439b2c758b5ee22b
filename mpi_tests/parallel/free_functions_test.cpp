// The free functions and the communicators that their Checkpointers hang on.

#include <gtest/gtest.h>

#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::free_functions_test {
namespace {

using test::Model;
using test::Scratch;
using test::world_rank;

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
