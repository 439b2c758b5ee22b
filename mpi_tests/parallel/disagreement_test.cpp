// Ranks that do not pass the same: one error on all of them that names who passed what, and the next save works.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/collective.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster {
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
  if (is_last()) options.num_kept_ckpts = 3;
  EXPECT_THAT(save_error(ErrorKind::mismatch, "agree", model_.state(), options),
              AllOf(HasSubstr("num_kept_ckpts=3"), HasSubstr("num_kept_ckpts=unset"), HasSubstr(last_name())));
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

TEST_F(Disagreement, AboutTheCheckpointersOptionsNamesWhoPassedWhat) {
  const auto error = collective_error(ErrorKind::mismatch, "agree", [&] {
    const Checkpointer other(MPI_COMM_WORLD, scratch_.path(), {.alignment_bytes = is_last() ? 8192U : 4096U});
  });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("alignment_bytes=4096"), HasSubstr("alignment_bytes=8192")));
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

}  // namespace
}  // namespace muster
