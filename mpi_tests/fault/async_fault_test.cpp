// A background save made to fail in every phase on every rank: told to all by the next call or by the handle,
// nothing published, nothing left, and the next save works.

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/clock.hpp"
#include "fault/injected_fault.hpp"
#include "store/history.hpp"
#include "support/expect_error.hpp"

namespace muster::async_fault_test {
namespace {

using test::collective_error;
using test::FaultCase;
using test::FaultPoint;
using test::Model;
using test::snapshot;
using test::world_rank;
using test::world_size;
using testing::HasSubstr;

constexpr FaultPoint kOfEveryRank[] = {
    {"save.stage", "stage"}, {"engine.extent", "stage"}, {"save.write", "write"}, {"save.sync", "sync"}};
constexpr FaultPoint kOfRank0[] = {{"save.publish", "publish"},
                                   {"publish.before_pointer", "publish"},
                                   {"publish.before_rename", "publish"},
                                   {"publish.after_rename", "publish"},
                                   {"publish.after_pointer", "publish"}};

class AsyncFault : public test::InjectedFault {
 protected:
  // Begins a save that fails so; every rank has a share of it.
  SaveHandle begin_failing(const FaultCase& fault, std::optional<Overlap> overlap) {
    fault.arm();
    return checkpointer_.save_async(model_.state(), {.tag = "failed",
                                                     .async = {.overlap_staging = overlap.has_value(),
                                                               .overlap = overlap.value_or(Overlap::automatic)}});
  }

  template <class Call>
  static void expect_fault(const FaultCase& fault, Call&& call) {
    expect_thrown(fault, call, "async save of failed: ");
  }

  void expect_works(const std::string& tag) {
    checkpointer_.save_async(model_.state(), {.tag = tag}).wait();
    expect_loads(tag);
  }
};

TEST_F(AsyncFault, IsToldToAllRanksByTheHandle) {
  expect_works("before");
  int number = 0;
  for (const auto& fault : test::fault_cases(kOfEveryRank, kOfRank0)) {
    for (const auto& overlap : std::vector<std::optional<Overlap>>{std::nullopt, Overlap::copying, Overlap::writing}) {
      SCOPED_TRACE(fault.text() + (overlap ? ", overlap " + std::to_string(static_cast<int>(*overlap)) : ""));
      const auto before = snapshot(directory_);
      auto handle = begin_failing(fault, overlap);
      expect_fault(fault, [&] { handle.wait(); });
      EXPECT_EQ(snapshot(directory_), before);
      expect_works("after_" + std::to_string(number++));
      if (HasFailure()) return;
    }
  }
}

TEST_F(AsyncFault, OnAllRanksIsToldOfEachOfThem) {
  expect_works("before");
  const auto ranks = world_size() == 1 ? std::string("rank 0") : "ranks 0-" + std::to_string(world_size() - 1);
  for (const auto& point : kOfEveryRank) {
    const auto before = snapshot(directory_);
    failpoint::arm(point.name, "throw");
    auto handle = checkpointer_.save_async(model_.state(), {.tag = "failed"});
    const auto error = collective_error(ErrorKind::io, point.phase, [&] { handle.wait(); });
    failpoint::disarm_all();
    EXPECT_EQ(error.failures().size(), static_cast<std::size_t>(world_size()));
    EXPECT_EQ(std::string(error.what()), std::string(point.phase) + " failed: " + ranks +
                                             ": async save of failed: fault injected at " + point.name);
    EXPECT_EQ(snapshot(directory_), before);
  }
  expect_works("after");
}

TEST_F(AsyncFault, IsThrownByTheNextCallWhateverItIs) {
  expect_works("before");
  const std::vector<std::function<void()>> calls{
      [&] { checkpointer_.save_async(model_.state(), {.tag = "next"}); },
      [&] { checkpointer_.save(model_.state(), {.tag = "next"}); }, [&] { checkpointer_.latest_tag(); },
      [&] { checkpointer_.finalize(); },
      [&] {
        Model again(0);
        checkpointer_.load({}, again.target());
      },
      // Where others may be in flight, a rank may hear of the failure after another.
      [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(world_rank() == 0 ? 300 : 150));
        failpoint::disarm_all();
        checkpointer_.save_async(model_.state(), {.tag = "next", .async = {.max_in_flight = 2}});
        checkpointer_.finalize();
      }};
  int number = 0;
  for (const auto& call : calls) {
    const FaultCase fault{{"save.write", "write"}, number % world_size()};
    begin_failing(fault, std::nullopt);
    expect_fault(fault, call);
    expect_works("after_" + std::to_string(number++));  // it is thrown once
    if (HasFailure()) return;
  }
  const auto history = store::read_history(directory_);
  EXPECT_EQ(std::ranges::count_if(history, [](const auto& entry) { return entry.at("outcome") == "failed"; }),
            static_cast<std::ptrdiff_t>(calls.size()));
}

// States on a device whose bytes come when the gate is opened: saves of them are in flight together for sure.
class Gate {
 public:
  ~Gate() { open(); }
  void open() { opened_ = true; }
  // One that cannot be read on this rank, or on none.
  State state(int broken_on_rank = -1, std::uint64_t bytes = 3 << 20) {
    State state;
    TensorMemory memory;
    memory.read = [this, broken = world_rank() == broken_on_rank](std::uint64_t, std::span<std::byte> to) {
      while (!opened_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (broken) throw Error(ErrorKind::io, "the device is gone");
      std::ranges::fill(to, std::byte{1});
    };
    state.add(Tensor{{"/model/device", DType::uint8, {bytes}, Shard::whole()}, memory});
    return state;
  }

 private:
  std::atomic<bool> opened_{false};
};

constexpr AsyncOptions kThreeAtOnce{.overlap_staging = true, .max_in_flight = 3};

TEST_F(AsyncFault, OfOneInFlightDoesNotHarmThoseBesideIt) {
  for (int failing = 0; failing < 3; ++failing) {
    SCOPED_TRACE(failing);
    Gate gate;
    const auto directory = scratch_.path() / std::to_string(failing);
    Checkpointer checkpointer(MPI_COMM_WORLD, directory);
    std::vector<SaveHandle> handles;
    for (int i = 0; i < 3; ++i) {
      handles.push_back(checkpointer.save_async(gate.state(i == failing ? world_size() - 1 : -1),
                                                {.tag = "t_" + std::to_string(i), .async = kThreeAtOnce}));
    }
    gate.open();
    for (int i = 0; i < 3; ++i) {
      auto& handle = handles[static_cast<std::size_t>(i)];
      if (i != failing) {
        EXPECT_TRUE(handle.wait().published);
        continue;
      }
      EXPECT_THAT(collective_error(ErrorKind::io, "stage", [&] { handle.wait(); }).what(),
                  HasSubstr("async save of t_" + std::to_string(i) + ": the device is gone"));
      EXPECT_FALSE(handle.report().published);
    }
    checkpointer.finalize();  // told already
    EXPECT_EQ(test::names_in(directory).size(), 3U);
    EXPECT_EQ(checkpointer.latest_tag(), failing == 2 ? "t_1" : "t_2");
    if (HasFailure()) return;
  }
}

// Whoever has seen the last one's failure has not seen the first one's.
TEST_F(AsyncFault, OfTwoInFlightIsToldTwice) {
  Gate gate;
  std::vector<SaveHandle> handles;
  for (int i = 0; i < 3; ++i) {
    handles.push_back(checkpointer_.save_async(gate.state(i == 1 ? -1 : 0),
                                               {.tag = "t_" + std::to_string(i), .async = kThreeAtOnce}));
  }
  gate.open();
  EXPECT_THAT(collective_error(ErrorKind::io, "stage", [&] { handles[2].wait(); }).what(), HasSubstr("t_2"));
  EXPECT_THAT(collective_error(ErrorKind::io, "stage", [&] { checkpointer_.latest_tag(); }).what(), HasSubstr("t_0"));
  EXPECT_EQ(checkpointer_.latest_tag(), "t_1");
}

// Buffers and disk space of a failed save are given back at once, though a handle to it is kept.
TEST_F(AsyncFault, ManyTimesWithHandlesKeptLeavesRoomForTheNext) {
  std::vector<SaveHandle> handles;
  for (int i = 0; i < 5; ++i) {
    Gate gate;
    gate.open();
    handles.push_back(checkpointer_.save_async(gate.state(world_size() - 1, 60 << 20),
                                               {.tag = "failed", .async = {.staging_limit_bytes = 32 << 20}}));
    collective_error(ErrorKind::io, "stage", [&] { handles.back().wait(); });
  }
  expect_works("after");
}

TEST_F(AsyncFault, IsThrownByFinalizeOnceAllDirectoriesAreDone) {
  const auto other = scratch_.path() / "other";
  if (world_rank() == 0) failpoint::arm("save.sync", "throw");
  auto failing = shared_checkpointer(MPI_COMM_WORLD, directory_).save_async(model_.state(), {.tag = "failed"});
  while (!failing.done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  failpoint::disarm_all();
  shared_checkpointer(MPI_COMM_WORLD, other).save_async(model_.state(), {.tag = "t"});
  EXPECT_THAT(collective_error(ErrorKind::io, "sync", [] { finalize_checkpoint(MPI_COMM_WORLD); }).what(),
              HasSubstr("async save of failed"));
  EXPECT_THAT(test::names_in(other), testing::ElementsAre("latest", "t.h5"));
  EXPECT_NO_THROW(finalize_checkpoint(MPI_COMM_WORLD));
  EXPECT_FALSE(has_checkpoint(MPI_COMM_WORLD, directory_));
  finalize_checkpoint(MPI_COMM_WORLD);
}

TEST_F(AsyncFault, AtTheLastStepOfOpenLeavesNoPart) {
  expect_works("before");
  for (int rank = 0; rank < world_size(); ++rank) {
    const auto before = snapshot(directory_);
    if (world_rank() == rank) failpoint::arm("save.open_write", "throw");
    collective_error(ErrorKind::io, "open", [&] { checkpointer_.save_async(model_.state(), {.tag = "failed"}); });
    failpoint::disarm_all();
    EXPECT_EQ(snapshot(directory_), before);
    expect_works("after_" + std::to_string(rank));
  }
}

// A write that takes longer than the deadline is no rank that is missing.
TEST_F(AsyncFault, IsNoneWhereAWriteIsSlowButGoesOn) {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  {
    Checkpointer checkpointer(comm, directory_, {.timeout_s = 2});
    const std::vector<std::byte> bytes(48 << 20);
    State state;
    // One rank has it all, and the others are done long before.
    const std::uint64_t held = world_rank() == world_size() - 1 ? bytes.size() : 0;
    state.add("/model/large", DType::uint8, {bytes.size()}, bytes.data(), Shard::flat(0, held));
    auto slow = checkpointer.save_async(
        state, {.tag = "slow", .async = {.max_in_flight = 2, .write_limit_bytes_per_s = 6 << 20}});
    // One behind it, of which nothing is written for long.
    EXPECT_TRUE(
        checkpointer.save_async(model_.state(), {.tag = "behind", .async = {.max_in_flight = 2}}).wait().published);
    const auto report = slow.report();
    EXPECT_TRUE(report.published);
    EXPECT_GT(report.total_s, 4);
    EXPECT_EQ(checkpointer.latest_tag(), "behind");
  }
  MPI_Comm_free(&comm);
}

// The limit is of the process, but only this rank's writes reach it.
TEST_F(AsyncFault, OfAFileSizeLimitOnOneRankIsAnErrorOfAll) {
  expect_works("before");
  const std::vector<float> large(8 << 20, 1.0F);
  State state;
  state.add("/model/large", DType::float32, {large.size()}, large.data());
  auto handle = checkpointer_.save_async(state, {.tag = "t", .async = {.write_limit_bytes_per_s = 64 << 20}});
  handle.wait();  // the plan is made, and the next part opens quickly
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const bool limited = world_rank() == world_size() - 1;
  auto failing = checkpointer_.save_async(
      [&] {
        if (limited) {
          // After the part is made by rank 0, whose own limit would otherwise be met in phase open.
          const rlimit small{1 << 20, before.rlim_max};
          if (world_rank() != 0) setrlimit(RLIMIT_FSIZE, &small);
        }
        return state;
      },
      {.tag = "failed"});
  if (world_size() == 1) {
    EXPECT_TRUE(failing.wait().published);
    return;
  }
  const auto error = collective_error(ErrorKind::io, "write", [&] { failing.wait(); });
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(error.what(), HasSubstr("File too large"));
  MPI_Barrier(MPI_COMM_WORLD);
  expect_works("after");
}

volatile std::sig_atomic_t goes_on = 0;  // after a stop

// A rank that is stopped in the middle of its write: the others name it, and how far it got.
TEST_F(AsyncFault, OfAStoppedRankIsATimeoutThatNamesIt) {
  if (world_size() == 1) GTEST_SKIP() << "needs another rank";
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);  // never freed: what is left on it is never finished
  std::vector<int> pids(static_cast<std::size_t>(world_size()));
  const int pid = getpid();
  MPI_Allgather(&pid, 1, MPI_INT, pids.data(), 1, MPI_INT, MPI_COMM_WORLD);
  const int stopped = world_size() - 1;
  {
    Gate gate;
    Checkpointer checkpointer(comm, directory_, {.timeout_s = 2});
    constexpr std::uint64_t kBytes = 32 << 20;
    if (world_rank() == stopped) {
      std::signal(SIGCONT, [](int) { goes_on = 1; });
      failpoint::arm("save.write", "stop");
    }
    auto handle = checkpointer.save_async(gate.state(-1, kBytes), {.tag = "failed", .async = kThreeAtOnce});
    auto behind = checkpointer.save_async(gate.state(-1, kBytes), {.tag = "behind", .async = kThreeAtOnce});
    gate.open();
    if (world_rank() == stopped) {
      // Stops before long, until rank 0 lets it go on.
      const Stopwatch watch;
      while (goes_on == 0 && watch.seconds() < 60) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      EXPECT_EQ(goes_on, 1) << "it was never stopped";
      std::signal(SIGCONT, SIG_DFL);
      failpoint::disarm_all();
    } else {
      const Stopwatch watch;
      const auto message = test::error_of(ErrorKind::timeout, [&] { handle.wait(); });
      EXPECT_THAT(message, HasSubstr("rank " + std::to_string(stopped) + ": last seen in phase write, 0 of "));
      EXPECT_THAT(message, HasSubstr("async save of failed"));
      EXPECT_LT(watch.seconds(), 20);
      EXPECT_THAT(test::error_of(ErrorKind::timeout, [&] { behind.wait(); }), HasSubstr("async save of failed"));
      EXPECT_FALSE(behind.report().published);
      // Every further call says so at once.
      EXPECT_THAT(test::error_of(ErrorKind::timeout, [&] { checkpointer.latest_tag(); }), HasSubstr("failed"));
      if (world_rank() == 0) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        kill(pids[static_cast<std::size_t>(stopped)], SIGCONT);
      }
    }
    MPI_Barrier(MPI_COMM_WORLD);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  Checkpointer other(MPI_COMM_WORLD, directory_);
  other.save(model_.state(), {.tag = "after"});
  EXPECT_EQ(other.latest_tag(), "after");
  EXPECT_THAT(test::names_in(directory_), testing::ElementsAre("after.h5", "latest"));
}

}  // namespace
}  // namespace muster::async_fault_test
