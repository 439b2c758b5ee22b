// Every phase of a save and a load made to fail on every rank in turn: the same exception everywhere, nothing
// published, nothing left, and the next save on the same Checkpointer works.

#include <hdf5.h>

#include "fault/injected_fault.hpp"

namespace muster::phase_fault_test {
namespace {

using test::collective_error;
using test::FaultCase;
using test::FaultPoint;
using test::Model;
using test::snapshot;
using test::world_rank;
using test::world_size;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Passed by every rank.
constexpr FaultPoint kSavePoints[] = {{"save.agree", "agree"}, {"save.plan", "plan"},      {"save.open", "open"},
                                      {"save.write", "write"}, {"engine.extent", "write"}, {"save.sync", "sync"}};
// Passed by rank 0 only.
constexpr FaultPoint kPublishPoints[] = {{"save.publish", "publish"},          {"publish.before_pointer", "publish"},
                                         {"publish.before_rename", "publish"}, {"publish.after_rename", "publish"},
                                         {"publish.after_sync", "publish"},    {"publish.after_pointer", "publish"}};
constexpr FaultPoint kLoadPoints[] = {{"load.find", "find"},
                                      {"load.prepare", "prepare"},
                                      {"load.check", "check"},
                                      {"load.read", "read"},
                                      {"load.commit", "commit"}};

std::vector<FaultCase> save_cases() { return test::fault_cases(kSavePoints, kPublishPoints); }

class PhaseFault : public test::InjectedFault {
 protected:
  SaveReport save(const std::string& tag) { return checkpointer_.save(model_.state(), {.tag = tag}); }

  // The call must fail as the fault says.
  template <class Call>
  static void expect_fault(const FaultCase& fault, Call&& call) {
    fault.arm();
    expect_thrown(fault, call);
    EXPECT_EQ(H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL), 0) << fault.text();
  }

  // A save under this tag must work and be what a load finds.
  void expect_works(const std::string& tag) {
    save(tag);
    expect_loads(tag);
  }
};

TEST_F(PhaseFault, OfASaveLeavesEarlierTagsAsTheyWere) {
  save("earlier_1");
  save("earlier_2");
  int number = 0;
  for (const auto& fault : save_cases()) {
    const auto before = snapshot(directory_);
    expect_fault(fault, [&] { save("failed"); });
    EXPECT_EQ(snapshot(directory_), before) << fault.text();
    expect_works("after_" + std::to_string(number++));
    if (HasFailure()) return;
  }
}

TEST_F(PhaseFault, OfAFirstSaveLeavesNothing) {
  int number = 0;
  for (const auto& fault : save_cases()) {
    const auto directory = scratch_.path() / ("first_" + std::to_string(number++));
    Checkpointer checkpointer(MPI_COMM_WORLD, directory);
    for (int i = 0; i < 2; ++i) {
      expect_fault(fault, [&] { checkpointer.save(model_.state(), {.tag = "t"}); });
      EXPECT_THAT(snapshot(directory), IsEmpty()) << fault.text();
    }
    checkpointer.save(model_.state(), {.tag = "t"});
    Model again(0);
    checkpointer.load({}, again.target());
    EXPECT_EQ(again, model_);
    if (HasFailure()) return;
  }
}

TEST_F(PhaseFault, OnAllRanksIsToldInOneLine) {
  save("before");
  for (const auto& point : kSavePoints) {
    const auto before = snapshot(directory_);
    failpoint::arm(point.name, "throw");
    const auto error = collective_error(ErrorKind::io, point.phase, [&] { save("failed"); });
    failpoint::disarm_all();
    EXPECT_EQ(error.failures().size(), static_cast<std::size_t>(world_size()));
    EXPECT_EQ(std::string(error.what()), std::string(point.phase) + " failed: ranks 0-" +
                                             std::to_string(world_size() - 1) + ": fault injected at " + point.name);
    EXPECT_EQ(snapshot(directory_), before);
  }
  expect_works("after");
}

TEST_F(PhaseFault, InAReplacementLeavesTheOldTagUntilItIsRenamed) {
  save("t");
  const auto old = model_;
  model_ = Model(9);
  for (const auto& fault : save_cases()) {
    const std::string name = fault.point.name;
    if (name == "publish.after_rename" || name == "publish.after_sync" || name == "publish.after_pointer") continue;
    const auto before = snapshot(directory_);
    expect_fault(fault, [&] { checkpointer_.save(model_.state(), {.tag = "t", .replace_existing = true}); });
    EXPECT_EQ(snapshot(directory_), before) << name;
  }
  Model again(0);
  checkpointer_.load({}, again.target());
  EXPECT_EQ(again, old);
}

TEST_F(PhaseFault, InAReplacementAfterTheRenameSaysThatTheNewFileStays) {
  for (const char* point : {"publish.after_rename", "publish.after_sync", "publish.after_pointer"}) {
    const std::string tag = std::string("t_") + point;
    save(tag);
    const Model newer(10);
    auto copy = newer;
    FaultCase{{point, "publish"}, 0}.arm();
    const auto error = collective_error(
        ErrorKind::io, "publish", [&] { checkpointer_.save(copy.state(), {.tag = tag, .replace_existing = true}); });
    failpoint::disarm_all();
    EXPECT_THAT(error.what(), HasSubstr("already replaced"));
    Model again(0);
    checkpointer_.load({.tag = tag}, again.target());
    EXPECT_EQ(again, newer);
    for (const auto& [name, hash] : snapshot(directory_)) EXPECT_FALSE(name.starts_with('.')) << name;
  }
}

TEST_F(PhaseFault, OfALoadIsTheSameEverywhereAndTheNextLoadWorks) {
  save("t");
  const auto before = snapshot(directory_);
  for (const auto& point : kLoadPoints) {
    for (int rank = 0; rank < world_size(); ++rank) {
      Model again(0);
      bool committed = false;
      auto target = again.target();
      target.commit = [&] { committed = true; };
      expect_fault({point, rank}, [&] { checkpointer_.load({}, target); });
      if (std::string(point.name) != "load.commit") {
        EXPECT_EQ(again, Model(0)) << point.name;
        EXPECT_FALSE(committed);
      }
      EXPECT_EQ(snapshot(directory_), before);
      checkpointer_.load({}, again.target());
      EXPECT_EQ(again, model_);
    }
  }
}

TEST_F(PhaseFault, OfRetentionIsAWarningAndTheNextSaveRemoves) {
  save("a");
  save("b");
  Checkpointer keeps_one(MPI_COMM_WORLD, directory_, {.retention = {.newest = 1}});
  failpoint::arm("retention.before_remove", "throw");
  const auto report = keeps_one.save(model_.state(), {.tag = "c"});
  failpoint::disarm_all();
  EXPECT_EQ(report.warnings.size(), world_rank() == 0 ? 1U : 0U);
  EXPECT_EQ(snapshot(directory_).size(), 4U);
  keeps_one.save(model_.state(), {.tag = "d"});
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_THAT(test::names_in(directory_), ElementsAre("d.h5", "latest"));
}

// --- the program's own functions ---

class CallerFault : public PhaseFault {
 protected:
  static constexpr std::size_t kBytes = 40 << 20;  // several extents on every rank

  // A tensor whose functions throw on one rank, or on none.
  static State failing(int rank, TensorMemory memory = {}) {
    const bool fails = world_rank() == rank;
    const auto maybe_fail = [fails](const char* what) {
      if (fails) throw std::runtime_error(what);
    };
    memory.read = [maybe_fail](std::uint64_t, std::span<std::byte>) { maybe_fail("cannot read"); };
    memory.write = [maybe_fail](std::uint64_t, std::span<const std::byte>) { maybe_fail("cannot write"); };
    State state;
    state.add(Tensor{{"/model/device", DType::uint8, {kBytes}, Shard::whole()}, std::move(memory)});
    return state;
  }
};

TEST_F(CallerFault, AReadFunctionThatThrowsFailsTheSaveOnAllRanks) {
  save("before");
  for (int rank = 0; rank < world_size(); ++rank) {
    const auto before = snapshot(directory_);
    const auto error =
        collective_error(ErrorKind::internal, "write", [&] { checkpointer_.save(failing(rank), {.tag = "failed"}); });
    EXPECT_EQ(std::string(error.what()), "write failed: rank " + std::to_string(rank) + ": cannot read");
    EXPECT_EQ(snapshot(directory_), before);
  }
  expect_works("after");
}

TEST_F(CallerFault, AWriteFunctionThatThrowsFailsTheLoadOnAllRanks) {
  checkpointer_.save(failing(-1), {.tag = "t"});
  for (int rank = 0; rank < world_size(); ++rank) {
    LoadTarget target;
    target.state = failing(rank);
    const auto error = collective_error(ErrorKind::internal, "read", [&] { checkpointer_.load({}, target); });
    EXPECT_EQ(std::string(error.what()), "read failed: rank " + std::to_string(rank) + ": cannot write");
  }
  LoadTarget target;
  target.state = failing(-1);
  EXPECT_NO_THROW(checkpointer_.load({}, target));
}

TEST_F(CallerFault, DescribePrepareAndCommitThatThrowFailOnAllRanks) {
  save("before");
  for (int rank = 0; rank < world_size(); ++rank) {
    const bool fails = world_rank() == rank;
    collective_error(ErrorKind::internal, "agree", [&] {
      checkpointer_.save(
          [&]() -> State {
            if (fails) throw 42;  // no std::exception
            return model_.state();
          },
          {.tag = "failed"});
    });
    Model again(0);
    collective_error(ErrorKind::usage, "prepare", [&] {
      checkpointer_.load({}, [&](const CheckpointContents&) {
        if (fails) throw Error(ErrorKind::usage, "not for this program");
        return again.target();
      });
    });
    EXPECT_EQ(again, Model(0));
    auto target = again.target();
    target.commit = [&] {
      if (fails) throw std::bad_alloc();
    };
    EXPECT_THAT(collective_error(ErrorKind::internal, "commit", [&] { checkpointer_.load({}, target); }).what(),
                HasSubstr("out of memory"));
  }
  expect_works("after");
}

}  // namespace
}  // namespace muster::phase_fault_test
