// Two jobs in one directory: the one that was superseded hears it on all its ranks, and changes nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <optional>

#include "h5/catalog_reader.hpp"
#include "store/names.hpp"
#include "store/ownership.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::fencing_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::snapshot;
using test::world_rank;
using testing::ElementsAre;
using testing::HasSubstr;

// While it lives this process is one of another job.
class AsJob {
 public:
  AsJob(const char* job, const char* restart) {
    ::setenv("SLURM_JOB_ID", job, 1);
    ::setenv("SLURM_RESTART_COUNT", restart, 1);
  }
  ~AsJob() {
    ::unsetenv("SLURM_JOB_ID");
    ::unsetenv("SLURM_RESTART_COUNT");
  }
  AsJob(const AsJob&) = delete;
  AsJob& operator=(const AsJob&) = delete;
};

class Fencing : public testing::Test {
 protected:
  Checkpointer checkpointer_of(const char* job, const char* restart, bool take_over = false) const {
    const AsJob pretended(job, restart);
    return Checkpointer(MPI_COMM_WORLD, directory_, {.take_over = take_over});
  }
  // What the next start of the job does, seen from rank 0.
  void supersede() {
    if (world_rank() != 0 || next_) return;
    const AsJob pretended("4711", "1");
    next_.emplace(directory_, store::this_owner(), false);
    next_->claim();
  }
  // A tensor that is saved slowly enough for something to come in between: `meanwhile` runs on rank 0 as it is read.
  State state_with(std::function<void()> meanwhile) {
    auto state = model_.state();
    TensorMemory memory;
    memory.read = [meanwhile = std::move(meanwhile)](std::uint64_t, std::span<std::byte> to) {
      std::ranges::fill(to, std::byte{3});
      meanwhile();
    };
    const auto rank = static_cast<std::uint64_t>(world_rank());
    const auto size = static_cast<std::uint64_t>(test::world_size());
    state.add(Tensor{{"/model/slow", DType::uint8, {64 * size}, Shard::flat(64 * rank, 64)}, std::move(memory)});
    return state;
  }
  std::uint64_t generation_of(const std::string& tag) {
    MPI_Barrier(MPI_COMM_WORLD);
    const auto run = h5::read_run(directory_ / (tag + ".h5"));
    return run.details.value("generation", std::uint64_t{0});
  }

  Scratch scratch_;
  std::filesystem::path directory_ = scratch_.path() / "ckpts";
  Model model_{6};
  Model other_{8};
  std::optional<store::Ownership> next_;  // rank 0
};

TEST_F(Fencing, ALaterStartOfTheJobTakesTheDirectory) {
  auto orphan = checkpointer_of("4711", "0");
  orphan.save(model_.state(), {.tag = "a"});
  EXPECT_EQ(generation_of("a"), 1U);
  auto resumed = checkpointer_of("4711", "1");
  resumed.own();
  resumed.own();
  Model again(0);
  EXPECT_EQ(resumed.load({}, again.target()).contents.tag, "a");
  resumed.save(other_.state(), {.tag = "b"});
  EXPECT_EQ(generation_of("b"), 2U);

  const auto before = snapshot(directory_);
  for (const bool async : {false, true}) {
    const auto error = collective_error(ErrorKind::superseded, "agree", [&] {
      if (async) {
        orphan.save_async(model_.state(), {.tag = "c"});
      } else {
        orphan.save(model_.state(), {.tag = "c"});
      }
    });
    EXPECT_THAT(error.what(), HasSubstr("this run was superseded in " + directory_.string() +
                                        ": generation 2 belongs to job 4711 (restart 1) on "));
    EXPECT_THAT(error.what(), HasSubstr("; nothing was published"));
  }
  collective_error(ErrorKind::superseded, "agree",
                   [&] { orphan.save(model_.state(), {.tag = "b", .replace_existing = true}); });
  collective_error(ErrorKind::superseded, "open", [&] { orphan.own(); });
  EXPECT_EQ(snapshot(directory_), before);

  // An orphan that never saved before is told as well; loading is free.
  auto newcomer = checkpointer_of("4711", "0", true);
  EXPECT_EQ(newcomer.latest_tag(), "b");
  collective_error(ErrorKind::superseded, "open", [&] { newcomer.save(model_.state(), {.tag = "c"}); });
  EXPECT_EQ(snapshot(directory_), before);
  resumed.save(other_.state(), {.tag = "d"});
  EXPECT_EQ(generation_of("d"), 2U);
}

TEST_F(Fencing, ASaveThatIsOvertakenPublishesNothing) {
  auto orphan = checkpointer_of("4711", "0");
  orphan.save(model_.state(), {.tag = "a"});
  orphan.save(model_.state(), {.tag = "b"});
  const auto before = snapshot(directory_);
  const auto error = collective_error(ErrorKind::superseded, "publish",
                                      [&] { orphan.save(state_with([&] { supersede(); }), {.tag = "c"}); });
  EXPECT_THAT(error.what(), HasSubstr("generation 2 belongs to job 4711 (restart 1) on "));
  EXPECT_EQ(snapshot(directory_), before);
}

TEST_F(Fencing, ASaveThatIsOvertakenReplacesNothing) {
  auto orphan = checkpointer_of("4711", "0");
  orphan.save(model_.state(), {.tag = "a"});
  const auto before = snapshot(directory_);
  collective_error(ErrorKind::superseded, "publish",
                   [&] { orphan.save(state_with([&] { supersede(); }), {.tag = "a", .replace_existing = true}); });
  EXPECT_EQ(snapshot(directory_), before);
  EXPECT_EQ(orphan.latest_tag(), "a");
}

TEST_F(Fencing, ABackgroundSaveThatIsOvertakenPublishesNothing) {
  auto orphan = checkpointer_of("4711", "0");
  orphan.save(model_.state(), {.tag = "a"});
  const auto before = snapshot(directory_);
  auto handle = orphan.save_async(state_with([&] { supersede(); }), {.tag = "c"});
  const auto error = collective_error(ErrorKind::superseded, "publish", [&] { handle.wait(); });
  EXPECT_THAT(error.what(), HasSubstr("async save of c: this run was superseded in "));
  EXPECT_EQ(snapshot(directory_), before);
  collective_error(ErrorKind::superseded, "agree", [&] { orphan.save_async(model_.state(), {.tag = "d"}); });
  EXPECT_EQ(snapshot(directory_), before);
}

TEST_F(Fencing, WhatFailsForItOnAnyRankIsToldAsSuch) {
  auto orphan = checkpointer_of("4711", "0");
  orphan.save(model_.state(), {.tag = "a"});
  const auto before = snapshot(directory_);
  const auto state = state_with([&] {
    supersede();
    if (world_rank() == test::world_size() - 1) throw Error(ErrorKind::io, "Stale file handle");
  });
  collective_error(ErrorKind::superseded, "write", [&] { orphan.save(state, {.tag = "c"}); });
  EXPECT_EQ(snapshot(directory_), before);
}

TEST_F(Fencing, WhatFailsForItInTheBackgroundIsToldAsSuch) {
  auto orphan = checkpointer_of("4711", "0");
  orphan.save(model_.state(), {.tag = "a"});
  const auto before = snapshot(directory_);
  auto handle = orphan.save_async(state_with([&] {
                                    supersede();
                                    if (world_rank() != test::world_size() - 1) return;
                                    throw Error(ErrorKind::io, "Stale file handle");
                                  }),
                                  {.tag = "c"});
  collective_error(ErrorKind::superseded, "stage", [&] { handle.wait(); });
  EXPECT_EQ(snapshot(directory_), before);
}

TEST_F(Fencing, AnotherJobIsToldWhoHoldsTheDirectory) {
  auto first = checkpointer_of("12", "0");
  first.save(model_.state(), {.tag = "a"});
  const auto before = snapshot(directory_);
  auto second = checkpointer_of("13", "0");
  Model again(0);
  EXPECT_EQ(second.load({}, again.target()).contents.tag, "a");
  for (const bool async : {false, true}) {
    const auto error = collective_error(ErrorKind::busy, "open", [&] {
      if (async) {
        second.save_async(model_.state(), {.tag = "b"});
      } else {
        second.save(model_.state(), {.tag = "b"});
      }
    });
    EXPECT_THAT(error.what(), HasSubstr(directory_.string() + " is held by job 12 (restart 0) on "));
  }
  collective_error(ErrorKind::busy, "open", [&] { second.own(); });
  EXPECT_EQ(snapshot(directory_), before);
  first.save(model_.state(), {.tag = "b"});

  auto third = checkpointer_of("13", "0", true);
  third.save(other_.state(), {.tag = "c"});
  EXPECT_EQ(generation_of("c"), 2U);
  collective_error(ErrorKind::superseded, "agree", [&] { first.save(model_.state(), {.tag = "d"}); });
  second.save(other_.state(), {.tag = "d"});  // of the same process and job as the third
  EXPECT_EQ(generation_of("d"), 2U);
}

TEST_F(Fencing, TheEnvironmentMayAskToTakeOver) {
  auto first = checkpointer_of("12", "0");
  first.save(model_.state(), {.tag = "a"});
  ::setenv("MUSTER_TAKE_OVER", "1", 1);
  auto second = checkpointer_of("13", "0");
  ::unsetenv("MUSTER_TAKE_OVER");
  second.save(model_.state(), {.tag = "b"});
  EXPECT_EQ(generation_of("b"), 2U);
}

TEST_F(Fencing, AJobThatEndedInGoodOrderGivesWay) {
  checkpointer_of("12", "0").save(model_.state(), {.tag = "a"});
  MPI_Barrier(MPI_COMM_WORLD);
  checkpointer_of("13", "0").save(model_.state(), {.tag = "b"});
  MPI_Barrier(MPI_COMM_WORLD);
  checkpointer_of("13", "0").save(model_.state(), {.tag = "c"});
  EXPECT_EQ(generation_of("a"), 1U);
  EXPECT_EQ(generation_of("b"), 2U);
  EXPECT_EQ(generation_of("c"), 2U);
}

TEST_F(Fencing, CheckpointersOfOneJobShareTheDirectory) {
  Checkpointer one(MPI_COMM_WORLD, directory_);
  Checkpointer two(MPI_COMM_WORLD, directory_);
  one.save(model_.state(), {.tag = "a"});
  two.save(model_.state(), {.tag = "b"});
  one.save(model_.state(), {.tag = "c"});
  EXPECT_EQ(generation_of("c"), 1U);
}

TEST_F(Fencing, ADirectoryThatIsMadeAnewIsTakenAgain) {
  Checkpointer checkpointer(MPI_COMM_WORLD, directory_);
  checkpointer.save(model_.state(), {.tag = "a"});
  MPI_Barrier(MPI_COMM_WORLD);
  if (world_rank() == 0) std::filesystem::remove_all(directory_);
  MPI_Barrier(MPI_COMM_WORLD);
  checkpointer.save(model_.state(), {.tag = "a"});
  EXPECT_EQ(generation_of("a"), 1U);
  EXPECT_EQ(checkpointer.latest_tag(), "a");
}

TEST_F(Fencing, RanksMustAgreeToTakeOver) {
  if (test::world_size() == 1) GTEST_SKIP();
  collective_error(ErrorKind::mismatch, "agree",
                   [&] { const Checkpointer c(MPI_COMM_WORLD, directory_, {.take_over = world_rank() == 1}); });
}

}  // namespace
}  // namespace muster::fencing_test
