// Loading the newest sound checkpoint, whatever happened to the directory since; and what a load refuses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "h5/catalog_reader.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::resume_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::world_rank;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Resume : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 1; i <= 3; ++i) {
      Model model(i);
      checkpointer_.save(model.state(), {.tag = "step_" + std::to_string(i)});
    }
    MPI_Barrier(MPI_COMM_WORLD);
  }

  // Rank 0 does something to the directory while the others wait.
  template <class Change>
  void change(Change&& change) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (world_rank() == 0) change();
    MPI_Barrier(MPI_COMM_WORLD);
  }

  // A load without a tag must take this one and give these warnings.
  void expect_resume(int step, const testing::Matcher<std::vector<std::string>>& warnings) {
    Model again(0);
    const auto report = checkpointer_.load({}, again.target());
    EXPECT_EQ(report.contents.tag, "step_" + std::to_string(step));
    EXPECT_EQ(again, Model(step));
    EXPECT_THAT(report.warnings, warnings);
    for (const auto& warning : report.warnings) EXPECT_TRUE(test::same_everywhere(warning));
  }

  [[nodiscard]] std::filesystem::path file(const std::string& tag) const { return directory_ / (tag + ".h5"); }

  Scratch scratch_;
  std::filesystem::path directory_ = scratch_.path() / "ckpts";
  Checkpointer checkpointer_{MPI_COMM_WORLD, directory_};
};

TEST_F(Resume, TakesTheNewest) { expect_resume(3, IsEmpty()); }

TEST_F(Resume, TakesTheTagAskedFor) {
  Model again(0);
  EXPECT_EQ(checkpointer_.load({.tag = "step_1"}, again.target()).contents.sequence, 1U);
  EXPECT_EQ(again, Model(1));
}

TEST_F(Resume, IsNotStoppedByAPointerThatIsWrong) {
  const auto latest = directory_ / "latest";
  const auto expect_warning = [&](const std::string& what) {
    expect_resume(3, ElementsAre(AllOf(HasSubstr("latest"), HasSubstr(what), HasSubstr("step_3"))));
  };
  change([&] { test::write_text(latest, "step_1\n"); });
  expect_warning("names step_1");
  change([&] { test::write_text(latest, "never_saved\n"); });
  expect_warning("names never_saved");
  change([&] { test::write_text(latest, ""); });
  expect_warning("names no tag");
  change([&] { test::write_text(latest, "\xff\xfe/../x"); });
  expect_warning("names no tag");
  change([&] { std::filesystem::remove(latest); });
  expect_warning("missing");
  change([&] { std::filesystem::create_symlink("nowhere", latest); });
  expect_warning("names no tag");
  // The next save sets it right.
  Model model(4);
  checkpointer_.save(model.state(), {.tag = "step_4"});
  expect_resume(4, IsEmpty());
}

TEST_F(Resume, PassesOverANewestWithADamagedPayload) {
  const auto catalog = h5::read_catalog(file("step_3"));
  change([&] { test::flip(file("step_3"), catalog.tensors[0].offset + 4321); });
  expect_resume(2, ElementsAre(AllOf(HasSubstr("skipping tag step_3"), HasSubstr(catalog.tensors[0].path))));
}

TEST_F(Resume, PassesOverANewestWithADamagedHead) {
  change([&] { test::flip(file("step_3"), 700); });
  expect_resume(2, ElementsAre(HasSubstr("skipping tag step_3"), HasSubstr("newest sound tag is step_2")));
}

TEST_F(Resume, PassesOverATruncatedAndAnEmptyNewest) {
  change([&] { std::filesystem::resize_file(file("step_3"), std::filesystem::file_size(file("step_3")) - 1); });
  expect_resume(2, ElementsAre(HasSubstr("skipping tag step_3"), HasSubstr("step_2")));
  change([&] { std::filesystem::resize_file(file("step_2"), 0); });
  expect_resume(1, ElementsAre(HasSubstr("skipping tag"), HasSubstr("skipping tag"), HasSubstr("step_1")));
}

TEST_F(Resume, PassesOverAFileUnderAnotherTagsName) {
  change([&] { std::filesystem::rename(file("step_1"), file("step_9")); });
  expect_resume(3, ElementsAre(AllOf(HasSubstr("step_9"), HasSubstr("was saved as step_1"))));
}

TEST_F(Resume, SaysWhatIsDamagedWhereNothingIsSound) {
  change([&] {
    for (int i = 1; i <= 3; ++i) test::flip(file("step_" + std::to_string(i)), 700);
  });
  Model again(0);
  const auto error = collective_error(ErrorKind::not_found, "find", [&] { checkpointer_.load({}, again.target()); });
  for (int i = 1; i <= 3; ++i) EXPECT_THAT(error.what(), HasSubstr("step_" + std::to_string(i)));
  EXPECT_EQ(again, Model(0));
}

TEST_F(Resume, SaysWhatIsDamagedWhereNoPayloadIsSound) {
  const auto offset = h5::read_catalog(file("step_1")).tensors[0].offset;
  change([&] {
    for (int i = 1; i <= 3; ++i) test::flip(file("step_" + std::to_string(i)), offset);
  });
  Model again(0);
  EXPECT_THAT(collective_error(ErrorKind::corrupt, "read", [&] { checkpointer_.load({}, again.target()); }).what(),
              HasSubstr("step_1.h5"));
}

TEST_F(Resume, CallsATagAskedForCorruptAndNamesBytesAndWriter) {
  const auto catalog = h5::read_catalog(file("step_2"));
  const auto& extent = catalog.extents[0];
  const auto& tensor = catalog.tensors[extent.tensor];
  change([&] { test::flip(file("step_2"), extent.offset + 5); });
  Model again(0);
  const auto error =
      collective_error(ErrorKind::corrupt, "read", [&] { checkpointer_.load({.tag = "step_2"}, again.target()); });
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("step_2.h5"), HasSubstr(tensor.path + " bytes [0, " + std::to_string(extent.bytes) + ")"),
                    HasSubstr("written by rank " + std::to_string(extent.writer))));
  // The directory and the Checkpointer are as good as before.
  expect_resume(3, IsEmpty());
}

TEST_F(Resume, CallsATagAskedForWithADamagedHeadCorrupt) {
  change([&] { test::flip(file("step_2"), 700); });
  Model again(0);
  collective_error(ErrorKind::corrupt, "find", [&] { checkpointer_.load({.tag = "step_2"}, again.target()); });
  EXPECT_EQ(again, Model(0));
}

TEST_F(Resume, SaysThatATagIsNotThere) {
  Model again(0);
  EXPECT_THAT(
      collective_error(ErrorKind::not_found, "find", [&] { checkpointer_.load({.tag = "step_77"}, again.target()); })
          .what(),
      HasSubstr("no checkpoint step_77 in " + directory_.string()));
}

TEST_F(Resume, FindsNothingInAnEmptyOrMissingDirectory) {
  change([&] { std::filesystem::create_directory(scratch_.path() / "empty"); });
  Model again(0);
  for (const char* name : {"empty", "missing"}) {
    Checkpointer other(MPI_COMM_WORLD, scratch_.path() / name);
    EXPECT_EQ(other.latest_tag(), std::nullopt);
    EXPECT_FALSE(has_checkpoint(MPI_COMM_WORLD, scratch_.path() / name));
    collective_error(ErrorKind::not_found, "find", [&] { other.load({}, again.target()); });
    collective_error(ErrorKind::not_found, "find", [&] { other.load({.tag = "t"}, again.target()); });
  }
  EXPECT_FALSE(std::filesystem::exists(scratch_.path() / "missing"));
  EXPECT_TRUE(has_checkpoint(MPI_COMM_WORLD, directory_));
  finalize_checkpoint(MPI_COMM_WORLD);
}

// --- what does not fit ---

TEST_F(Resume, StrictListsEverythingThatDoesNotFitAndChangesNothing) {
  Model again(0);
  float missing = -1;
  LoadTarget target;
  target.sections = {"model", "optimizer"};
  target.state.add_mutable("/model/weight", DType::float32, {1000, 120}, again.weight.data());
  target.state.add_mutable("/model/bias", DType::int64, {33}, again.bias.data());
  target.state.add_mutable("/model/missing", DType::float32, {}, &missing);
  target.problems = {"the optimizer is of another kind"};
  const auto error = collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, target); });
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("/model/weight: float32 [120, 1000] in the checkpoint, float32 [1000, 120] wanted"),
                    HasSubstr("/model/bias: float64 [33] in the checkpoint, int64 [33] wanted"),
                    HasSubstr("missing in the checkpoint: /model/missing"),
                    HasSubstr("unexpected in the checkpoint: /optimizer/steps"),
                    HasSubstr("the optimizer is of another kind")));
  EXPECT_EQ(again, Model(0));
  EXPECT_EQ(missing, -1);
}

TEST_F(Resume, StrictChangesNothingThoughMostTensorsFit) {
  Model again(0);
  auto target = again.target();
  float missing = -1;
  target.state.add_mutable("/model/missing", DType::float32, {}, &missing);
  bool committed = false;
  target.commit = [&] { committed = true; };
  collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, target); });
  EXPECT_EQ(again, Model(0));
  EXPECT_FALSE(committed);
}

TEST_F(Resume, StrictMindsOnlyTheSectionsWanted) {
  Model again(0);
  LoadTarget target;
  target.sections = {"model"};
  target.state.add_mutable("/model/weight", DType::float32, {120, 1000}, again.weight.data());
  target.state.add_mutable("/model/bias", DType::float64, {33}, again.bias.data());
  checkpointer_.load({}, target);
  EXPECT_EQ(again.weight, Model(3).weight);
  EXPECT_EQ(again.steps, 0);
}

TEST_F(Resume, WithoutStrictLoadsTheRestAndReportsWhatWasSkipped) {
  Model again(0);
  float missing = -1;
  LoadTarget target;
  target.sections = {"model", "optimizer"};
  target.state.add_mutable("/model/weight", DType::float32, {120, 1000}, again.weight.data());
  target.state.add_mutable("/model/bias", DType::float64, {32}, again.bias.data());
  target.state.add_mutable("/model/missing", DType::float32, {}, &missing);
  const auto report = checkpointer_.load({.strict = false}, target);
  EXPECT_THAT(report.skipped, testing::UnorderedElementsAre(HasSubstr("/model/bias"), HasSubstr("/model/missing"),
                                                            HasSubstr("/optimizer/steps")));
  EXPECT_EQ(again.weight, Model(3).weight);
  EXPECT_EQ(again.bias, Model(0).bias);
  EXPECT_EQ(missing, -1);
}

TEST_F(Resume, RefusesATargetWithNowhereToWriteTo) {
  LoadTarget target;
  target.state.add(Tensor{{"/model/bias", DType::float64, {33}, Shard::whole()}, {}});
  EXPECT_THAT(collective_error(ErrorKind::mismatch, "check", [&] { checkpointer_.load({}, target); }).what(),
              HasSubstr("/model/bias: nowhere to write it to"));
}

}  // namespace
}  // namespace muster::resume_test
