// Ranks that do not pass the same: one error on all of them that names who passed what, and the next save works.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <muster/sharding.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::disagreement_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::snapshot;
using test::world_rank;
using test::world_size;
using testing::AllOf;
using testing::HasSubstr;

class Disagreement : public testing::Test {
 protected:
  void SetUp() override {
    if (world_size() == 1) GTEST_SKIP() << "one rank agrees with itself";
    checkpointer_.save(model_.state(), {.tag = "before"});
    before_ = snapshot(scratch_.path());
  }

  // Nothing was published or left, and the Checkpointer still works.
  void TearDown() override {
    if (world_size() == 1) return;
    EXPECT_EQ(snapshot(scratch_.path()), before_);
    checkpointer_.save(model_.state(), {.tag = "after"});
    Model again(0);
    EXPECT_EQ(checkpointer_.load({}, again.target()).contents.tag, "after");
    EXPECT_EQ(again, model_);
  }

  [[nodiscard]] static int last() { return world_size() - 1; }
  [[nodiscard]] static bool is_last() { return world_rank() == last(); }
  [[nodiscard]] static std::string last_name() { return "rank " + std::to_string(last()); }
  [[nodiscard]] static std::string others() { return last() == 1 ? "rank 0" : "ranks 0-" + std::to_string(last() - 1); }

  std::string save_error(ErrorKind kind, const std::string& phase, const State& state,
                         const SaveOptions& options = {.tag = "t"}) {
    return collective_error(kind, phase, [&] { checkpointer_.save(state, options); }).what();
  }

  Scratch scratch_;
  Model model_{2};
  Checkpointer checkpointer_{MPI_COMM_WORLD, scratch_.path()};
  std::map<std::string, std::uint64_t> before_;
};

TEST_F(Disagreement, AboutTheTagNamesWhoPassedWhat) {
  EXPECT_THAT(save_error(ErrorKind::mismatch, "agree", model_.state(), {.tag = is_last() ? "step_2" : "step_1"}),
              AllOf(HasSubstr("the tag"), HasSubstr(others() + (last() == 1 ? " passes" : " pass") + " 'step_1'"),
                    HasSubstr(last_name() + " passes 'step_2'")));
}

TEST_F(Disagreement, OfAllRanksAboutTheTagNamesThemAll) {
  const auto message = save_error(ErrorKind::mismatch, "agree", model_.state(), {.tag = std::to_string(world_rank())});
  for (int rank = 0; rank < world_size(); ++rank) {
    const auto text = std::to_string(rank);
    EXPECT_THAT(message, HasSubstr("rank " + text + " passes '" + text + "'"));
  }
}

TEST_F(Disagreement, AboutAnOptionNamesWhoPassedWhat) {
  SaveOptions options{.tag = "t"};
  if (is_last()) options.step = 3;
  EXPECT_THAT(save_error(ErrorKind::mismatch, "agree", model_.state(), options),
              AllOf(HasSubstr("step=3"), HasSubstr("step=unset"), HasSubstr(last_name())));
}

// What is fixed for a run is compared once, before there is a Checkpointer.
TEST_F(Disagreement, AboutAnOptionOfTheRunNamesItAndWhoPassedWhat) {
  const std::vector<std::tuple<CheckpointerOptions, std::string, std::string>> others = {
      {{.retention = {.newest = 3}}, "retention.newest", "3"},
      {{.engine = EngineChoice::collective}, "engine", "collective"},
      {{.hints = {{"cb_nodes", "1"}}}, "hints", "cb_nodes=1"},
      {{.grid = {.tensor = world_size()}}, "grid", "tp=" + std::to_string(world_size())},
      {{.alignment_bytes = 512}, "alignment_bytes", "512"},
      {{.timeout_s = 17}, "timeout_s", "17"},
      {{.take_over = true}, "take_over", "on"}};
  for (const auto& [options, name, value] : others) {
    const auto error = collective_error(ErrorKind::mismatch, "agree", [&] {
      const Checkpointer c(MPI_COMM_WORLD, scratch_.path(), is_last() ? options : CheckpointerOptions());
    });
    EXPECT_THAT(error.what(), AllOf(HasSubstr("the option " + name), HasSubstr(last_name() + " passes " + value)));
  }
}

TEST_F(Disagreement, AboutAShapeNamesKeyAndRanks) {
  auto state = model_.state();
  const std::vector<float> extra(12);
  state.add("/model/extra", DType::float32, is_last() ? Shape{4, 3} : Shape{3, 4}, extra.data());
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state),
              AllOf(HasSubstr("/model/extra"), HasSubstr("float32 [3, 4] on " + others()),
                    HasSubstr("float32 [4, 3] on " + last_name())));
}

TEST_F(Disagreement, AboutADtypeNamesKeyAndRanks) {
  auto state = model_.state();
  const std::vector<float> extra(12);
  state.add("/model/extra", is_last() ? DType::int32 : DType::float32, {12}, extra.data());
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state),
              AllOf(HasSubstr("/model/extra"), HasSubstr("int32 [12] on " + last_name())));
}

TEST_F(Disagreement, AboutOneKeyMoreNamesKeyAndRank) {
  auto state = model_.state();
  const float extra = 1;
  if (is_last()) state.add("/model/extra", DType::float32, {}, &extra);
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state),
              HasSubstr("/model/extra: held by " + last_name() + ", missing on " + others()));
}

TEST_F(Disagreement, AboutOneKeyLessNamesKeyAndRank) {
  State state = world_rank() == 0 ? State() : model_.state();
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state),
              AllOf(HasSubstr("/model/weight: held by"), HasSubstr("missing on rank 0")));
}

TEST_F(Disagreement, OfPartsThatLeaveAHoleNamesTheElements) {
  const auto rank = static_cast<std::uint64_t>(world_rank());
  const auto ranks = static_cast<std::uint64_t>(world_size());
  const std::vector<float> part(10);
  State state;
  // The last rank holds one element less than it should.
  state.add("/parts", DType::float32, {ranks * 10}, part.data(), Shard::flat(rank * 10, is_last() ? 9 : 10));
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state),
              AllOf(HasSubstr("/parts"), HasSubstr(std::to_string(ranks * 10 - 1) + ", " + std::to_string(ranks * 10)),
                    HasSubstr("held by no rank")));
}

TEST_F(Disagreement, AUsageErrorOfOneRankNamesIt) {
  auto state = model_.state();
  const float extra = 1;
  if (is_last()) {
    state.add("/model/twice", DType::float32, {}, &extra);
    state.add("/model/twice", DType::float32, {}, &extra);
  }
  const auto error = collective_error(ErrorKind::usage, "agree", [&] { checkpointer_.save(state, {.tag = "t"}); });
  ASSERT_EQ(error.failures().size(), 1U);
  EXPECT_EQ(error.failures()[0].rank, last());
  EXPECT_THAT(error.what(), HasSubstr("/model/twice: given 2 times"));
}

TEST_F(Disagreement, AboutTheDirectoryNamesWhoPassedWhat) {
  const auto path = scratch_.path() / (is_last() ? "b" : "a");
  const auto error =
      collective_error(ErrorKind::mismatch, "agree", [&] { const Checkpointer other(MPI_COMM_WORLD, path); });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("/a'"), HasSubstr(last_name() + " passes"), HasSubstr("/b'")));
  const auto shared = collective_error(ErrorKind::mismatch, "agree",
                                       [&] { save_checkpoint(MPI_COMM_WORLD, path, model_.state(), {.tag = "t"}); });
  EXPECT_THAT(shared.what(), HasSubstr(last_name() + " passes"));
  finalize_checkpoint(MPI_COMM_WORLD);
}

TEST_F(Disagreement, AboutTheTagToLoadNamesWhoPassedWhat) {
  LoadOptions options;
  if (is_last()) options.tag = "before";
  const auto error =
      collective_error(ErrorKind::mismatch, "find", [&] { checkpointer_.load(options, model_.target()); });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("tag=unset"), HasSubstr("tag='before'"), HasSubstr(last_name())));
}

TEST_F(Disagreement, ATargetThatFitsOnSomeRanksOnlyChangesNothingAnywhere) {
  Model again(0);
  auto target = again.target();
  float extra = 0;
  if (is_last()) target.state.add_mutable("/model/extra", DType::float32, {}, &extra);
  const auto error = collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, target); });
  ASSERT_EQ(error.failures().size(), 1U);
  EXPECT_EQ(error.failures()[0].rank, last());
  EXPECT_EQ(again, Model(0));
}

TEST_F(Disagreement, InASecondSaveIsFoundTooThoughThePlanWasKept) {
  auto state = model_.state();
  const float extra = 1;
  if (world_rank() == 0) state.add("/model/extra", DType::float32, {}, &extra);
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state), HasSubstr("/model/extra: held by rank 0"));
  EXPECT_THAT(save_error(ErrorKind::mismatch, "plan", state), HasSubstr("/model/extra: held by rank 0"));
}

// Cuts and grids that do not go together: key, ranks and ranges in one message on all ranks, and not a byte is written,
// wherever the save was to go.

constexpr std::uint64_t kRows = 6;  // of each rank
constexpr std::uint64_t kColumns = 8;

struct WrongCut {
  const char* name;
  // What this rank adds to /model/w; the rest of the state is sound.
  Shape (*shape)();
  Shard (*shard)();
  std::vector<std::string> (*words)();
  friend void PrintTo(const WrongCut& one, std::ostream* out) { *out << one.name; }
};

std::uint64_t ranks() { return static_cast<std::uint64_t>(world_size()); }
std::uint64_t mine() { return static_cast<std::uint64_t>(world_rank()); }
bool is_last_rank() { return world_rank() + 1 == world_size(); }
std::string number(std::uint64_t value) { return std::to_string(value); }
std::string range(std::uint64_t first, std::uint64_t end) { return "[" + number(first) + ", " + number(end) + ")"; }
std::string all_ranks() { return "ranks 0-" + number(ranks() - 1); }
std::string but_last() { return ranks() == 2 ? "rank 0" : "ranks 0-" + number(ranks() - 2); }
std::string last_two() { return "by rank " + number(ranks() - 2) + " and by rank " + number(ranks() - 1); }

Shape rows_of_all() { return {ranks() * kRows, kColumns}; }
Shape columns_of_all() { return {kRows, ranks() * kColumns}; }
Shape fused_columns_of_all() { return {kRows, 2 * ranks() * kColumns}; }  // two tensors of that many, side by side
Shard my_rows() { return split(rows_of_all(), 0, world_rank(), world_size()); }

std::vector<WrongCut> wrong_cuts() {
  return {
      {.name = "overlapping_elements",
       .shape = rows_of_all,
       .shard =
           [] {
             const auto size = kRows * kColumns;
             return is_last_rank() ? Shard::flat(mine() * size - 3, size + 3) : Shard::flat(mine() * size, size);
           },
       .words =
           [] {
             const auto end = (ranks() - 1) * kRows * kColumns;
             return std::vector{"elements " + range(end - 3, end) + " are held in two different parts, " + last_two()};
           }},
      {.name = "overlapping_blocks",
       .shape = columns_of_all,
       .shard =
           [] {
             const auto more = is_last_rank() ? kColumns : 0;
             return Shard::block({0, mine() * kColumns - more}, {kRows, kColumns + more});
           },
       .words =
           [] {
             const auto end = (ranks() - 1) * kColumns;
             return std::vector{"block " + range(0, kRows) + " x " + range(end - kColumns, end) +
                                " is held in two different parts, " + last_two()};
           }},
      {.name = "overlapping_fused_blocks",
       .shape = fused_columns_of_all,
       .shard =
           [] {
             const auto second = (ranks() + mine()) * kColumns;
             const auto more = is_last_rank() ? kColumns : 0;
             return Shard::blocks(
                 {{{0, mine() * kColumns}, {kRows, kColumns}}, {{0, second - more}, {kRows, kColumns + more}}});
           },
       .words =
           [] {
             const auto end = (2 * ranks() - 1) * kColumns;
             return std::vector{
                 "block " + range(0, kRows) + " x " + range(end - kColumns, end) + " is held in two different parts",
                 "by rank " + number(ranks() - 2), "by rank " + number(ranks() - 1)};
           }},
      {.name = "hole_in_elements",
       .shape = rows_of_all,
       .shard =
           [] {
             const auto size = kRows * kColumns;
             return is_last_rank() ? Shard::flat(mine() * size + 2, size - 2) : Shard::flat(mine() * size, size);
           },
       .words =
           [] {
             const auto first = (ranks() - 1) * kRows * kColumns;
             return std::vector{"elements " + range(first, first + 2) + " are held by no rank, other parts by " +
                                all_ranks()};
           }},
      {.name = "hole_in_blocks",
       .shape = columns_of_all,
       .shard =
           [] {
             return Shard::block({0, mine() * kColumns}, {kRows, is_last_rank() ? 0 : kColumns});
           },
       .words =
           [] {
             const auto first = (ranks() - 1) * kColumns;
             return std::vector{"block " + range(0, kRows) + " x " + range(first, first + kColumns) +
                                " is held by no rank, other parts by " + but_last()};
           }},
      {.name = "global_shape",
       .shape =
           [] {
             auto shape = rows_of_all();
             if (is_last_rank()) ++shape[0];
             return shape;
           },
       .shard = my_rows,
       .words =
           [] {
             return std::vector{"float32 " + to_string(rows_of_all()) + " in parts on " + but_last(),
                                "float32 " + to_string(Shape{ranks() * kRows + 1, kColumns}) + " in parts on rank " +
                                    number(ranks() - 1)};
           }},
      {.name = "whole_and_in_parts",
       .shape = rows_of_all,
       .shard = [] { return is_last_rank() ? Shard::whole() : my_rows(); },
       .words =
           [] {
             const auto shape = to_string(rows_of_all());
             return std::vector{"float32 " + shape + " in parts on " + but_last(),
                                "float32 " + shape + " on rank " + number(ranks() - 1)};
           }},
  };
}

// Ranks that make different calls at the same time.
TEST_F(Disagreement, OfCallsNamesThemAll) {
  Model again(0);
  const auto save = [&] { checkpointer_.save(model_.state(), {.tag = "t"}); };
  const auto save_async = [&] { checkpointer_.save_async(model_.state(), {.tag = "t"}); };
  const auto load = [&] { checkpointer_.load({}, again.target()); };
  const auto finalize = [&] { checkpointer_.finalize(); };
  const std::vector<std::pair<std::string, std::function<void()>>> calls{
      {"save", save}, {"save in the background", save_async}, {"load", load}, {"finalize", finalize}};
  int number = 0;
  for (const bool one_in_flight : {false, true}) {
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const auto& [name, call] = calls[i];
      const auto& [other_name, other_call] = calls[(i + 1) % calls.size()];
      SCOPED_TRACE(name + " and " + other_name);
      const auto tag = "sound_" + std::to_string(number++);
      if (one_in_flight) checkpointer_.save_async(model_.state(), {.tag = tag});
      const auto error = collective_error(ErrorKind::mismatch, "agree", world_rank() == 0 ? call : other_call);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("the call that they make: rank 0 passes '" + name + "'"),
                                      HasSubstr("'" + other_name + "'")));
      if (!one_in_flight) checkpointer_.save(model_.state(), {.tag = tag});
      EXPECT_EQ(checkpointer_.latest_tag(), tag);
    }
  }
  before_ = snapshot(scratch_.path());
}

enum class Where : std::uint8_t { nowhere_yet, empty, beside_others };

class WrongCuts : public testing::TestWithParam<std::tuple<std::size_t, Where>> {
 protected:
  void SetUp() override {
    if (world_size() == 1) GTEST_SKIP() << "one rank agrees with itself";
  }

  // Files by name, the notes of what ranks do (.progress) by name alone; nothing where there is no directory.
  [[nodiscard]] static std::optional<std::map<std::string, std::uint64_t>> everything_in(
      const std::filesystem::path& directory) {
    MPI_Barrier(MPI_COMM_WORLD);
    std::optional<std::map<std::string, std::uint64_t>> files;
    if (std::filesystem::exists(directory)) {
      files.emplace();
      for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        const auto& file = entry.path();
        const bool is_note = file.filename() == ".progress";
        (*files)[file.lexically_relative(directory).string()] =
            is_note || !entry.is_regular_file() ? 0 : hash_bytes(test::read_file(file));
      }
    }
    MPI_Barrier(MPI_COMM_WORLD);
    return files;
  }
};

TEST_P(WrongCuts, AreToldByOneMessageBeforeAnythingIsWritten) {
  const auto& [number_of_cut, where] = GetParam();
  const auto wrong = wrong_cuts().at(number_of_cut);
  const Scratch scratch;
  const auto directory = where == Where::nowhere_yet ? scratch.path() / "new" / "one" : scratch.path();
  Checkpointer checkpointer(MPI_COMM_WORLD, directory);
  Model model(2);
  if (where == Where::beside_others) checkpointer.save(model.state(), {.tag = "before"});
  const std::vector<float> values(columns_of_all()[1] * kRows + 2 * kRows * kColumns, 1.F);
  auto state = model.state();
  state.add("/model/w", DType::float32, wrong.shape(), values.data(), wrong.shard());
  auto before = everything_in(directory);
  for (const bool in_background : {false, true}) {
    SCOPED_TRACE(in_background ? "in the background" : "at once");
    const auto error = collective_error(ErrorKind::mismatch, "plan", [&] {
      const SaveOptions options{.tag = "t"};
      if (in_background) {
        checkpointer.save_async(state, options).wait();
      } else {
        checkpointer.save(state, options);
      }
    });
    EXPECT_THAT(error.what(), HasSubstr("/model/w: "));
    for (const auto& words : wrong.words()) EXPECT_THAT(error.what(), HasSubstr(words));
    // Ranks that say what they are at do so in a directory that is there; nothing else may come or change.
    if (before && everything_in(directory)->contains(".progress")) before->emplace(".progress", 0);
    EXPECT_EQ(everything_in(directory), before);
  }
  auto sound = model.state();
  sound.add("/model/w", DType::float32, rows_of_all(), values.data(), my_rows());
  checkpointer.save(sound, {.tag = "t"});
  Model again(0);
  auto target = again.target();
  std::vector<float> loaded(kRows * kColumns);
  target.state.add_mutable("/model/w", DType::float32, rows_of_all(), loaded.data(), my_rows());
  EXPECT_EQ(checkpointer.load({}, target).contents.tag, "t");
  EXPECT_EQ(again, model);
  EXPECT_EQ(loaded, std::vector<float>(loaded.size(), 1.F));
}

std::string name_of(const testing::TestParamInfo<WrongCuts::ParamType>& one) {
  const auto& [number_of_cut, where] = one.param;
  const std::string name = wrong_cuts().at(number_of_cut).name;
  return name + (where == Where::nowhere_yet ? "_nowhere_yet" : where == Where::empty ? "_empty" : "_beside_others");
}

INSTANTIATE_TEST_SUITE_P(All, WrongCuts,
                         testing::Combine(testing::Range(std::size_t{0}, wrong_cuts().size()),
                                          testing::Values(Where::nowhere_yet, Where::empty, Where::beside_others)),
                         name_of);

TEST_F(Disagreement, OfTheGridAndTheRanksIsFoundFirst) {
  const auto refused = [&](const Grid& grid) {
    return std::string(collective_error(ErrorKind::usage, "agree", [&] {
                         const Checkpointer c(MPI_COMM_WORLD, scratch_.path(), {.grid = grid});
                       }).what());
  };
  EXPECT_THAT(refused({.tensor = 5}),
              HasSubstr("grid tp=5 cp=1 ep=1 dp=0 pp=1 order=tp-cp-ep-dp-pp on " + std::to_string(world_size()) +
                        " ranks: the product of the degrees is more than the number of ranks"));
  EXPECT_THAT(refused({.data = 1}), HasSubstr("the product of the degrees is not the number of ranks"));
}

// The same of a grid that the ranks' states do not have: a stage that is to hold what it lacks.
TEST_F(Disagreement, OfStatesAndGridNamesKeyAndRanks) {
  const auto ranks_of_grid = world_size();
  auto state = model_.state();
  const std::vector<float> own(4);
  // As two pipeline stages have it, or more; the grid says that all are replicas of each other.
  state.add("/model/stage" + std::to_string(world_rank()), DType::float32, {4}, own.data());
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch_.path(), {.grid = {.data = ranks_of_grid}});
  const std::string message =
      collective_error(ErrorKind::mismatch, "plan", [&] { checkpointer.save(state, {.tag = "t"}); }).what();
  EXPECT_THAT(message, HasSubstr("/model/stage0: held by rank 0, missing on " +
                                 (last() == 1 ? last_name() : "ranks 1-" + std::to_string(last()))));
  EXPECT_THAT(message, HasSubstr("/model/stage" + std::to_string(last()) + ": held by " + last_name() +
                                 ", missing on " + others()));
}

}  // namespace
}  // namespace muster::disagreement_test
