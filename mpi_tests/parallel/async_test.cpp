// Saves that go on in the background: what they hold, when they are published, how many at once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <optional>
#include <random>
#include <thread>

#include "base/failpoint.hpp"
#include "h5/catalog_reader.hpp"
#include "store/history.hpp"
#include "store/pointer.hpp"
#include "store/verify.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::async_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::world_rank;
using test::world_size;
using testing::HasSubstr;
using testing::IsEmpty;

bool settles_by_itself() {
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  return level == MPI_THREAD_MULTIPLE;
}

constexpr std::array kOverlaps{Overlap::automatic, Overlap::copying, Overlap::writing};

class Async : public testing::Test {
 protected:
  Model loaded(const std::string& tag) {
    Model again(0);
    const auto report = checkpointer_.load({.tag = tag}, again.target());
    EXPECT_THAT(report.warnings, IsEmpty());
    return again;
  }

  Scratch scratch_;
  std::filesystem::path directory_ = scratch_.path() / "ckpts";
  Model model_{1};
  Checkpointer checkpointer_{MPI_COMM_WORLD, directory_};
};

TEST_F(Async, HoldsWhatTheStateWasWhenTheCallReturned) {
  for (int round = 0; round < 5; ++round) {
    model_ = Model(10 + round);
    const auto tag = "t_" + std::to_string(round);
    auto handle = checkpointer_.save_async(model_.state(), {.tag = tag});
    std::ranges::fill(model_.weight, -1.0F);
    std::ranges::fill(model_.bias, -1.0);
    const auto report = handle.wait();
    EXPECT_TRUE(report.published);
    EXPECT_EQ(report.sequence, static_cast<std::uint64_t>(round + 1));
    EXPECT_EQ(loaded(tag), Model(10 + round));
    EXPECT_TRUE(store::verify(report.file, h5::read_catalog(report.file), {}).damages.empty());
  }
}

TEST_F(Async, WithOverlapHoldsWhatTheStateWasUntilItWasStaged) {
  for (int round = 0; round < 9; ++round) {
    model_ = Model(20 + round);
    const auto overlap = kOverlaps.at(static_cast<std::size_t>(round) % kOverlaps.size());
    auto handle = checkpointer_.save_async(
        model_.state(), {.tag = "t_" + std::to_string(round), .async = {.overlap_staging = true, .overlap = overlap}});
    handle.wait_staged();
    std::ranges::fill(model_.weight, -1.0F);
    std::ranges::fill(model_.bias, -1.0);
    handle.wait();
    EXPECT_EQ(loaded("t_" + std::to_string(round)), Model(20 + round));
  }
}

// Nobody waits for its copy: with `writing` there is none, else all of it is one, whatever the program is at.
TEST_F(Async, WithOverlapIsWrittenFromWhereItLiesOrCopied) {
  std::vector<float> large((24 << 20) / sizeof(float), 1.0F);
  State state;
  const auto ranks = static_cast<std::uint64_t>(world_size());
  const std::uint64_t share = large.size() / ranks;
  const std::uint64_t first = share * static_cast<std::uint64_t>(world_rank());
  const std::uint64_t held = world_rank() == world_size() - 1 ? large.size() - first : share;
  state.add("/model/large", DType::float32, {large.size()}, large.data(), Shard::flat(first, held));
  const auto write_through_bytes = [&](Overlap overlap, const std::string& tag) {
    auto handle = checkpointer_.save_async(state, {.tag = tag, .async = {.overlap_staging = true, .overlap = overlap}});
    return handle.wait().write_through_bytes;
  };
  // What is measured of the cores is up to the machine, and has a test of its own.
  failpoint::arm("cores.busy", "pretend");
  EXPECT_EQ(write_through_bytes(Overlap::automatic, "first"), 0U) << "nothing is known yet";
  EXPECT_EQ(write_through_bytes(Overlap::copying, "copied"), 0U);
  EXPECT_GE(write_through_bytes(Overlap::writing, "written"), held * sizeof(float));
  if (failpoint::compiled_in()) {
    EXPECT_GE(write_through_bytes(Overlap::automatic, "busy"), held * sizeof(float)) << "no core was idle";
    failpoint::disarm_all();
    failpoint::arm("cores.idle", "pretend");
    EXPECT_EQ(write_through_bytes(Overlap::automatic, "idle"), 0U);
  }
  failpoint::disarm_all();
}

TEST_F(Async, IsPublishedWithoutAnyFurtherCall) {
  if (!settles_by_itself()) GTEST_SKIP() << "needs MPI_THREAD_MULTIPLE";
  checkpointer_.save_async(model_.state(), {.tag = "t"});
  // No call into muster or MPI from here on.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (store::read_pointer(directory_, "latest") != "t" && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(store::read_pointer(directory_, "latest"), "t");
}

TEST_F(Async, IsPublishedByPollsBelowThreadMultiple) {
  auto handle = checkpointer_.save_async(model_.state(), {.tag = "t"});
  while (checkpointer_.poll()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(handle.done());
  EXPECT_TRUE(handle.report().published);
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(store::read_pointer(directory_, "latest"), "t");
}

TEST_F(Async, ManyInARowPublishInOrder) {
  std::mt19937 random(7);  // the same on all ranks
  constexpr int kSaves = 100;
  Checkpointer checkpoints(MPI_COMM_WORLD, directory_, {.retention = {.newest = 3}});
  for (int i = 1; i <= kSaves; ++i) {
    model_.steps = i;
    model_.bias[0] = i;
    const auto report =
        checkpoints
            .save_async(model_.state(),
                        {.tag = "step_" + std::to_string(i), .user_content = i, .async = {.max_in_flight = 1 + i % 3}})
            .report();
    EXPECT_FALSE(report.published);
    EXPECT_EQ(report.plan_reused, i > 1);
    model_.bias[0] = -1;
    // Ranks drift apart.
    const auto pause_us = std::uniform_int_distribution<int>(0, 3000)(random) * (1 + world_rank()) % 3000;
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
  }
  checkpoints.finalize();
  EXPECT_EQ(checkpointer_.latest_tag(), "step_100");
  Model again(0);
  const auto report = checkpointer_.load({}, again.target());
  EXPECT_EQ(report.contents.sequence, static_cast<std::uint64_t>(kSaves));
  EXPECT_EQ(report.user_content, nlohmann::json(kSaves));
  EXPECT_EQ(again.steps, kSaves);
  EXPECT_EQ(again.bias[0], kSaves);
  EXPECT_THAT(test::names_in(directory_), testing::ElementsAre("latest", "step_100.h5", "step_98.h5", "step_99.h5"));
  const auto history = store::read_history(directory_);
  ASSERT_EQ(history.size(), static_cast<std::size_t>(kSaves));
  for (int i = 1; i <= kSaves; ++i) {
    const auto& entry = history[static_cast<std::size_t>(i - 1)];
    EXPECT_EQ(entry.at("tag"), "step_" + std::to_string(i));
    EXPECT_EQ(entry.at("sequence"), i);
    EXPECT_EQ(entry.at("outcome"), "published");
    EXPECT_EQ(entry.at("ranks").at("bytes").size(), static_cast<std::size_t>(world_size()));
  }
}

// Copied by the call, by a thread, or written as it lies there, on each rank in a way of its own: what a save holds is
// what the state was until wait_staged() returned, and nobody waits for ever.
TEST_F(Async, ManyInARowOfAllKindsHoldWhatTheyShould) {
  constexpr std::size_t kElements = (5 << 20) / sizeof(float);
  constexpr int kSaves = 60;
  std::vector<float> large(kElements);
  State state;
  const std::uint64_t share = kElements / static_cast<std::size_t>(world_size());
  const std::uint64_t first = share * static_cast<std::size_t>(world_rank());
  const std::uint64_t held = world_rank() == world_size() - 1 ? kElements - first : share;
  state.add("/model/large", DType::float32, {kElements}, large.data(), Shard::flat(first, held));
  std::mt19937 together(11);
  std::mt19937 alone(static_cast<unsigned>(world_rank()));
  std::deque<SaveHandle> handles;
  for (int i = 1; i <= kSaves; ++i) {
    std::ranges::fill(large, static_cast<float>(i));
    const bool overlaps = together() % 4 != 0;
    handles.push_back(checkpointer_.save_async(state, {.tag = "step_" + std::to_string(i),
                                                       .async = {.staging_limit_bytes = 32 << 20,
                                                                 .overlap_staging = overlaps,
                                                                 .overlap = kOverlaps.at(alone() % kOverlaps.size()),
                                                                 .max_in_flight = 1 + i % 3}}));
    std::this_thread::sleep_for(std::chrono::microseconds(alone() % 4000));
    // Those before are staged with it.
    if (i % 5 != 0) handles.back().wait_staged();
    if (i % 5 == 0) handles.back().wait();
    while (!handles.empty() && handles.front().done()) {
      EXPECT_TRUE(handles.front().report().published);
      handles.pop_front();
    }
  }
  checkpointer_.finalize();
  for (int i = 1; i <= kSaves; ++i) {
    LoadTarget target;
    std::vector<float> again(kElements);
    target.state.add_mutable("/model/large", DType::float32, {kElements}, again.data());
    checkpointer_.load({.tag = "step_" + std::to_string(i)}, target);
    ASSERT_TRUE(std::ranges::all_of(again, [&](float value) { return value == static_cast<float>(i); })) << i;
  }
}

// Three times what may be staged at once: the call takes part in writing it.
TEST_F(Async, OfMoreThanTheStagingLimitComesBack) {
  constexpr std::size_t kElements = (96 << 20) / sizeof(float) + 77;
  const std::vector<std::optional<Overlap>> kinds{std::nullopt, Overlap::copying, Overlap::writing};
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    const auto overlap = kinds[kind];
    std::vector<float> large(kElements);
    for (std::size_t i = 0; i < kElements; ++i) large[i] = static_cast<float>(i % 10007) + static_cast<float>(kind) / 4;
    const auto saved = large;
    State state;
    // Held by one rank alone, so that it has more than the limit at any number of ranks.
    const std::uint64_t held = world_rank() == world_size() - 1 ? kElements : 0;
    state.add_mutable("/model/large", DType::float32, {kElements}, large.data(), Shard::flat(0, held));
    const auto tag = "t_" + std::to_string(kind);
    auto handle = checkpointer_.save_async(state, {.tag = tag,
                                                   .async = {.staging_limit_bytes = 32 << 20,
                                                             .overlap_staging = overlap.has_value(),
                                                             .overlap = overlap.value_or(Overlap::automatic)}});
    handle.wait_staged();
    std::ranges::fill(large, -1.0F);
    handle.wait();
    LoadTarget target;
    target.state.add_mutable("/model/large", DType::float32, {kElements}, large.data());
    checkpointer_.load({.tag = tag}, target);
    EXPECT_EQ(large, saved);
  }
}

// Each larger than the limit, one copied by the call and the others by a thread: they must not wait for each other's
// buffers.
TEST_F(Async, SeveralLargerThanTheStagingLimitTakeTurns) {
  constexpr std::size_t kElements = (112 << 20) / sizeof(float);
  std::vector<std::vector<float>> states;
  std::vector<SaveHandle> handles;
  constexpr std::array kOverlap{Overlap::copying, Overlap::automatic, Overlap::writing, Overlap::automatic};
  for (int i = 0; i < 4; ++i) states.emplace_back(kElements, static_cast<float>(i));
  for (int i = 0; i < 4; ++i) {
    State state;
    const std::uint64_t held = world_rank() == 0 ? kElements : 0;
    state.add("/model/large", DType::float32, {kElements}, states[static_cast<std::size_t>(i)].data(),
              Shard::flat(0, held));
    handles.push_back(checkpointer_.save_async(state, {.tag = "t_" + std::to_string(i),
                                                       .async = {.staging_limit_bytes = 32 << 20,
                                                                 .overlap_staging = i % 2 == 0,
                                                                 .overlap = kOverlap.at(static_cast<std::size_t>(i)),
                                                                 .max_in_flight = 4}}));
  }
  for (auto& handle : handles) EXPECT_TRUE(handle.wait().published);
  for (int i = 0; i < 4; ++i) {
    std::vector<float> again(kElements);
    LoadTarget target;
    target.state.add_mutable("/model/large", DType::float32, {kElements}, again.data());
    checkpointer_.load({.tag = "t_" + std::to_string(i)}, target);
    EXPECT_EQ(again, states[static_cast<std::size_t>(i)]);
  }
}

// What counts is what is in the directory when the save is published, however it came there.
TEST_F(Async, RetentionCountsSavesOfEveryKind) {
  const auto save = [&](const std::string& tag, bool in_background, std::optional<int> kept, bool replace = false) {
    Checkpointer checkpoints(MPI_COMM_WORLD, directory_, {.retention = {.newest = kept}});
    const SaveOptions options{.tag = tag, .replace_existing = replace};
    if (in_background) {
      checkpoints.save_async(model_.state(), options);
    } else {
      checkpoints.save(model_.state(), options);
    }
  };
  const auto names = [&] {
    checkpointer_.finalize();
    return test::names_in(directory_);
  };
  save("a", true, std::nullopt);
  save("b", false, std::nullopt);
  save("c", true, 3);
  EXPECT_THAT(names(), testing::ElementsAre("a.h5", "b.h5", "c.h5", "latest"));
  save("d", false, std::nullopt);
  save("e", true, 2);
  EXPECT_THAT(names(), testing::ElementsAre("d.h5", "e.h5", "latest"));
  save("d", true, 2, true);  // is the newest now
  save("f", true, 2);
  EXPECT_THAT(names(), testing::ElementsAre("d.h5", "f.h5", "latest"));
  save("g", false, 2);
  save("h", true, std::nullopt);
  save("i", true, 2);
  EXPECT_THAT(names(), testing::ElementsAre("h.h5", "i.h5", "latest"));
  // Tags that another Checkpointer put there.
  Checkpointer other(MPI_COMM_WORLD, directory_);
  other.save(model_.state(), {.tag = "j"});
  save("k", true, 2);
  EXPECT_THAT(names(), testing::ElementsAre("j.h5", "k.h5", "latest"));
}

TEST_F(Async, OfTwoCheckpointersInOneDirectoryLeaveEachOtherAlone) {
  Checkpointer other(MPI_COMM_WORLD, directory_);
  const std::vector<std::byte> bytes(40 << 20, std::byte{7});
  State state;
  state.add("/model/large", DType::uint8, {bytes.size()}, bytes.data());
  auto slow = checkpointer_.save_async(state, {.tag = "slow", .async = {.write_limit_bytes_per_s = 80 << 20}});
  other.save(model_.state(), {.tag = "at_once"});
  auto quick = other.save_async(model_.state(), {.tag = "quick"});
  EXPECT_TRUE(quick.wait().published);
  EXPECT_TRUE(slow.wait().published);
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_THAT(test::names_in(directory_), testing::ElementsAre("at_once.h5", "latest", "quick.h5", "slow.h5"));
}

TEST_F(Async, OfATagThatAnotherCheckpointerIsWritingIsBusy) {
  Checkpointer other(MPI_COMM_WORLD, directory_);
  // More than one buffer a rank: the last one of each need not wait.
  const std::vector<std::byte> bytes(100 << 20, std::byte{7});
  State state;
  state.add("/model/large", DType::uint8, {bytes.size()}, bytes.data());
  auto slow = checkpointer_.save_async(state, {.tag = "t", .async = {.write_limit_bytes_per_s = 100 << 20}});
  const auto error = collective_error(ErrorKind::busy, "open", [&] { other.save(model_.state(), {.tag = "t"}); });
  EXPECT_THAT(error.what(), HasSubstr("is being written by another save of this process"));
  EXPECT_TRUE(slow.wait().published);
  EXPECT_EQ(other.save(model_.state(), {.tag = "t", .replace_existing = true}).sequence, 2U);
  EXPECT_EQ(loaded("t"), model_);
}

TEST_F(Async, AtALimitedRateTakesItsTime) {
  constexpr std::size_t kElements = (64 << 20) / sizeof(float);
  const std::vector<float> large(kElements, 1.0F);
  State state;
  state.add("/model/large", DType::float32, {kElements}, large.data());
  const auto started = std::chrono::steady_clock::now();
  auto handle = checkpointer_.save_async(state, {.tag = "t", .async = {.write_limit_bytes_per_s = 64 << 20}});
  const auto report = handle.wait();
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  // All but the last buffer of each rank have to have waited for their turn.
  const double buffers = 16.0 * world_size() / 64;
  EXPECT_GE(seconds, 1 - buffers - 0.01);
  EXPECT_TRUE(report.published);
}

TEST_F(Async, ReadFunctionsOfTheProgramAreCalledForWhatIsNoPlainMemory) {
  const std::vector<float> values(70000, 3.0F);
  State state;
  TensorMemory memory;
  memory.read = [&](std::uint64_t first, std::span<std::byte> to) {
    std::memcpy(to.data(), reinterpret_cast<const std::byte*>(values.data()) + first, to.size());
  };
  state.add(Tensor{{"/model/t", DType::float32, {70000}, Shard::whole()}, memory});
  checkpointer_.save_async(state, {.tag = "t"}).wait();
  std::vector<float> again(70000);
  LoadTarget target;
  target.state.add_mutable("/model/t", DType::float32, {70000}, again.data());
  checkpointer_.load({}, target);
  EXPECT_EQ(again, values);
}

TEST_F(Async, MaySkipWhereOneIsInFlight) {
  const std::vector<float> large(20 << 20, 1.0F);
  State state;
  state.add("/model/large", DType::float32, {large.size()}, large.data());
  // Slow enough to be in flight still, on a busy machine too.
  const AsyncOptions slow{.when_busy = WhenBusy::skip, .write_limit_bytes_per_s = 32 << 20};
  auto first = checkpointer_.save_async(state, {.tag = "first", .async = slow});
  auto second = checkpointer_.save_async(state, {.tag = "second", .async = slow});
  EXPECT_FALSE(first.skipped());
  EXPECT_TRUE(second.skipped());
  EXPECT_TRUE(second.report().skipped);
  EXPECT_TRUE(second.wait().skipped);
  EXPECT_TRUE(first.wait().published);
  auto third = checkpointer_.save_async(state, {.tag = "third", .async = {.when_busy = WhenBusy::skip}});
  checkpointer_.finalize();
  EXPECT_THAT(test::names_in(directory_), testing::Not(testing::Contains("second.h5")));
  EXPECT_EQ(checkpointer_.latest_tag(), "third");
}

TEST_F(Async, MayFailWhereOneIsInFlight) {
  const std::vector<float> large(20 << 20, 1.0F);
  State state;
  state.add("/model/large", DType::float32, {large.size()}, large.data());
  const AsyncOptions busy{.when_busy = WhenBusy::fail, .write_limit_bytes_per_s = 32 << 20};
  auto first = checkpointer_.save_async(state, {.tag = "first", .async = busy});
  const auto error = collective_error(ErrorKind::busy, "agree",
                                      [&] { checkpointer_.save_async(state, {.tag = "second", .async = busy}); });
  EXPECT_THAT(error.what(), HasSubstr("second was not begun: 1 in flight already"));
  EXPECT_TRUE(first.wait().published);
  checkpointer_.save_async(state, {.tag = "second", .async = {.when_busy = WhenBusy::fail}}).wait();
  EXPECT_EQ(checkpointer_.latest_tag(), "second");
}

TEST_F(Async, SeveralInFlightEachHoldTheirOwnState) {
  std::vector<SaveHandle> handles;
  for (int i = 0; i < 4; ++i) {
    model_ = Model(30 + i);
    handles.push_back(
        checkpointer_.save_async(model_.state(), {.tag = "t_" + std::to_string(i), .async = {.max_in_flight = 4}}));
  }
  for (auto it = handles.rbegin(); it != handles.rend(); ++it) EXPECT_TRUE(it->wait().published);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(loaded("t_" + std::to_string(i)), Model(30 + i));
}

TEST_F(Async, OfATagInFlightWaitsForItAndThenReplacesOrRefuses) {
  checkpointer_.save_async(model_.state(), {.tag = "t", .async = {.max_in_flight = 3}});
  collective_error(ErrorKind::exists, "agree",
                   [&] { checkpointer_.save_async(model_.state(), {.tag = "t", .async = {.max_in_flight = 3}}); });
  model_ = Model(2);
  checkpointer_.save_async(model_.state(), {.tag = "t", .async = {.max_in_flight = 3}, .replace_existing = true});
  EXPECT_EQ(loaded("t"), Model(2));
  // The tag is free when the call begins, and taken when the save before it has ended.
  checkpointer_.save_async(model_.state(), {.tag = "u", .async = {.max_in_flight = 3}});
  EXPECT_THROW(checkpointer_.save_async(Model(3).state(),
                                        {.tag = "u", .async = {.max_in_flight = 3, .when_busy = WhenBusy::fail}}),
               CollectiveError);
  EXPECT_EQ(loaded("u"), Model(2));
}

TEST_F(Async, IsWaitedForByOtherCalls) {
  checkpointer_.save_async(model_.state(), {.tag = "first"});
  EXPECT_EQ(checkpointer_.latest_tag(), "first");
  checkpointer_.save_async(model_.state(), {.tag = "second"});
  const auto third = checkpointer_.save(model_.state(), {.tag = "third"});
  EXPECT_EQ(third.sequence, 3U);
  checkpointer_.save_async(model_.state(), {.tag = "fourth"});
  Model again(0);
  EXPECT_EQ(checkpointer_.load({}, again.target()).contents.tag, "fourth");
}

TEST_F(Async, IsWaitedForByTheDestructor) {
  {
    Checkpointer other(MPI_COMM_WORLD, directory_);
    other.save_async(model_.state(), {.tag = "t"});
  }
  EXPECT_EQ(loaded("t"), Model(1));
}

TEST_F(Async, OfTheFreeFunctionsIsWaitedForByFinalize) {
  const auto report = shared_checkpointer(MPI_COMM_WORLD, directory_).save_async(model_.state(), {.tag = "t"}).report();
  EXPECT_FALSE(report.published);
  EXPECT_EQ(report.tag, "t");
  finalize_checkpoint(MPI_COMM_WORLD);
  EXPECT_EQ(loaded("t"), Model(1));
}

TEST_F(Async, NeedsTheEngineDirectAndSensibleOptions) {
  const auto begin = [&](const SaveOptions& options) {
    return [this, options] { checkpointer_.save_async(model_.state(), options); };
  };
  Checkpointer collective(MPI_COMM_WORLD, directory_, {.engine = EngineChoice::collective});
  EXPECT_THAT(
      collective_error(ErrorKind::usage, "agree", [&] { collective.save_async(model_.state(), {.tag = "t"}); }).what(),
      HasSubstr("async saves need the engine direct"));
  EXPECT_THAT(collective_error(ErrorKind::usage, "agree", begin({.tag = "t", .async = {.max_in_flight = 0}})).what(),
              HasSubstr("max_in_flight is 0"));
  EXPECT_THAT(
      collective_error(ErrorKind::usage, "agree", begin({.tag = "t", .async = {.staging_limit_bytes = 1000}})).what(),
      HasSubstr("staging_limit_bytes is 1000"));
  if (world_size() > 1) {
    const auto error = collective_error(ErrorKind::mismatch, "agree", [&] {
      checkpointer_.save_async(model_.state(), {.tag = "t", .async = {.max_in_flight = 1 + world_rank()}});
    });
    EXPECT_THAT(error.what(), HasSubstr("the options of the save"));
  }
  EXPECT_THAT(test::snapshot(directory_), IsEmpty());
  checkpointer_.save_async(model_.state(), {.tag = "t"}).wait();
}

TEST_F(Async, LeavesTheBytesThatASaveAtOnceLeaves) {
  const auto at_once = checkpointer_.save(model_.state(), {.tag = "at_once"});
  const auto later = checkpointer_.save_async(model_.state(), {.tag = "later"}).wait();
  const auto first = h5::read_catalog(at_once.file);
  const auto second = h5::read_catalog(later.file);
  EXPECT_EQ(first.hashes, second.hashes);
  ASSERT_EQ(first.extents.size(), second.extents.size());
  for (std::size_t i = 0; i < first.extents.size(); ++i) {
    EXPECT_EQ(first.extents[i].offset, second.extents[i].offset);
  }
  const auto a = test::read_file(at_once.file);
  const auto b = test::read_file(later.file);
  ASSERT_EQ(a.size(), b.size());
  const auto payload = static_cast<std::ptrdiff_t>(first.head_bytes + first.tables_bytes);
  EXPECT_TRUE(std::equal(a.begin() + payload, a.end(), b.begin() + payload));
}

}  // namespace
}  // namespace muster::async_test
