// A rank that stays away: the others get a timeout in time instead of waiting for ever.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "base/clock.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::deadline_test {
namespace {

using test::error_of;
using test::Model;
using test::Scratch;
using test::world_rank;
using test::world_size;
using testing::HasSubstr;

class Deadline : public testing::Test {
 protected:
  Deadline() { MPI_Comm_dup(MPI_COMM_WORLD, &comm_); }

  [[nodiscard]] static bool stays_away() { return world_rank() == world_size() - 1; }

  // The last rank does not call; the others must get a timeout within some seconds.
  template <class Call>
  static void expect_timeout(Call&& call) {
    if (!stays_away()) {
      const Stopwatch watch;
      EXPECT_THAT(error_of(ErrorKind::timeout, call), HasSubstr("not all of them came"));
      EXPECT_GE(watch.seconds(), 1);
      EXPECT_LT(watch.seconds(), 20);
    }
    MPI_Barrier(MPI_COMM_WORLD);
  }

  Scratch scratch_;
  MPI_Comm comm_ = MPI_COMM_NULL;  // never freed: what is left on it is never finished
  Model model_{1};
};

TEST_F(Deadline, OfASavePassesWhereARankStaysAway) {
  std::optional<Checkpointer> checkpointer(std::in_place, comm_, scratch_.path(), CheckpointerOptions{.timeout_s = 1});
  checkpointer->save(model_.state(), {.tag = "before"});
  expect_timeout([&] { checkpointer->save(model_.state(), {.tag = "failed"}); });
  if (!stays_away()) {
    // The ranks are no longer in step: every further call says so at once.
    EXPECT_THAT(error_of(ErrorKind::timeout, [&] { checkpointer->latest_tag(); }), HasSubstr("make a new one"));
  }
  checkpointer.reset();
  // Nothing was published, and another Checkpointer goes on.
  EXPECT_THAT(test::names_in(scratch_.path()), testing::ElementsAre("before.h5", "latest"));
  Checkpointer other(MPI_COMM_WORLD, scratch_.path());
  other.save(model_.state(), {.tag = "after"});
  EXPECT_EQ(other.latest_tag(), "after");
}

TEST_F(Deadline, OfALoadPassesWhereARankStaysAway) {
  Checkpointer checkpointer(comm_, scratch_.path(), {.timeout_s = 1});
  checkpointer.save(model_.state(), {.tag = "t"});
  Model again(0);
  expect_timeout([&] { checkpointer.load({}, again.target()); });
}

// With num_workers ranks of a node wait for their turn: one that takes too long leaves no message behind for later
// saves.
TEST_F(Deadline, PassesWhereARankDoesNotEndItsTurn) {
  State state;
  for (int rank = 0; rank < world_size(); ++rank) {
    TensorMemory memory;
    memory.read = [](std::uint64_t, std::span<std::byte> to) {
      if (world_rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2500));
      std::ranges::fill(to, std::byte{1});
    };
    const std::uint64_t held = rank == world_rank() ? 100 : 0;
    state.add(Tensor{{"/model/t" + std::to_string(rank), DType::uint8, {100}, Shard::flat(0, held)}, memory});
  }
  Checkpointer checkpointer(comm_, scratch_.path(), {.timeout_s = 1});
  const auto save = [&] { checkpointer.save(state, {.tag = "t", .num_workers = 1}); };
  const Stopwatch watch;
  error_of(ErrorKind::timeout, save);
  EXPECT_LT(watch.seconds(), 20);
  EXPECT_THAT(error_of(ErrorKind::timeout, save), HasSubstr("make a new one"));
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_THAT(test::names_in(scratch_.path()), testing::IsEmpty());
  Checkpointer other(MPI_COMM_WORLD, scratch_.path());
  other.save(state, {.tag = "after", .num_workers = 1});
  EXPECT_EQ(other.latest_tag(), "after");
}

TEST_F(Deadline, PassesWhereARankIsLateInTheMiddleOfASave) {
  Checkpointer checkpointer(comm_, scratch_.path(), {.timeout_s = 1});
  if (!stays_away()) {
    error_of(ErrorKind::timeout, [&] { checkpointer.save(model_.state(), {.tag = "t"}); });
    MPI_Barrier(MPI_COMM_WORLD);
  } else {
    // Comes to the save, but not out of its own description before the others gave up; then nobody answers it either.
    error_of(ErrorKind::timeout, [&] {
      checkpointer.save(
          [&] {
            MPI_Barrier(MPI_COMM_WORLD);
            return model_.state();
          },
          {.tag = "t"});
    });
  }
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_THAT(test::names_in(scratch_.path()), testing::IsEmpty());
}

}  // namespace
}  // namespace muster::deadline_test
