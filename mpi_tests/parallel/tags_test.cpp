// Tags: which are refused, what replaces what, how many stay.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::tags_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::snapshot;
using test::world_rank;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Tags : public testing::Test {
 protected:
  SaveReport save(const SaveOptions& options) { return checkpointer_.save(model_.state(), options); }
  std::vector<std::string> names() {
    MPI_Barrier(MPI_COMM_WORLD);
    auto names = test::names_in(directory_);
    MPI_Barrier(MPI_COMM_WORLD);
    return names;
  }

  Scratch scratch_;
  std::filesystem::path directory_ = scratch_.path() / "ckpts";
  Model model_{6};
  Checkpointer checkpointer_{MPI_COMM_WORLD, directory_};
};

TEST_F(Tags, ThatAreNoFileNamesAreRefusedBeforeAnythingIsWritten) {
  for (const std::string& tag : {std::string(), std::string("a/b"), std::string("../up"), std::string("."),
                                 std::string(".."), std::string(".hidden"), std::string(201, 't'), std::string("a\nb"),
                                 std::string("a\0b", 3), std::string("latin \xe9")}) {
    const auto error = collective_error(ErrorKind::usage, "agree", [&] { save({.tag = tag}); });
    EXPECT_THAT(error.what(), HasSubstr("a tag is a file name"));
    EXPECT_EQ(error.failures().size(), static_cast<std::size_t>(test::world_size()));
    collective_error(ErrorKind::usage, "find", [&] { checkpointer_.load({.tag = tag}, model_.target()); });
  }
  EXPECT_FALSE(std::filesystem::exists(directory_));
}

TEST_F(Tags, OfTheLongestNameAndOddCharactersWork) {
  for (const std::string& tag : {std::string(200, 't'), std::string("with space"), std::string("\u4e2d\u00e9"),
                                 std::string("a\"b\\c'd"), std::string("latest"), std::string("x.h5")}) {
    save({.tag = tag});
    Model again(0);
    EXPECT_EQ(checkpointer_.load({}, again.target()).contents.tag, tag);
    EXPECT_EQ(again, model_);
    EXPECT_EQ(checkpointer_.latest_tag(), tag);
  }
}

TEST_F(Tags, WrongNumbersAreRefused) {
  for (const int number : {0, -1}) {
    collective_error(ErrorKind::usage, "agree",
                     [&] { const Checkpointer c(MPI_COMM_WORLD, directory_, {.retention = {.newest = number}}); });
    collective_error(ErrorKind::usage, "agree", [&] { save({.tag = "t", .num_workers = number}); });
    collective_error(ErrorKind::usage, "find", [&] { checkpointer_.load({.num_workers = number}, model_.target()); });
  }
  for (const std::uint64_t alignment : {0U, 1U, 256U, 513U, 4095U, 128U << 20}) {
    collective_error(ErrorKind::usage, "agree",
                     [&] { const Checkpointer c(MPI_COMM_WORLD, directory_, {.alignment_bytes = alignment}); });
  }
  for (const double timeout : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    collective_error(ErrorKind::usage, "agree",
                     [&] { const Checkpointer c(MPI_COMM_WORLD, directory_, {.timeout_s = timeout}); });
  }
  collective_error(ErrorKind::usage, "agree",
                   [&] { const Checkpointer c(MPI_COMM_WORLD, directory_, {.grid = {.data = 77}}); });
  EXPECT_FALSE(std::filesystem::exists(directory_));
}

TEST_F(Tags, ThatExistAreNotReplacedUnasked) {
  save({.tag = "t"});
  const auto before = snapshot(directory_);
  model_ = Model(7);
  const auto error = collective_error(ErrorKind::exists, "agree", [&] { save({.tag = "t"}); });
  EXPECT_THAT(error.what(), HasSubstr("t.h5 exists already"));
  EXPECT_EQ(snapshot(directory_), before);
}

TEST_F(Tags, ThatExistAreReplacedWhereAsked) {
  save({.tag = "t"});
  save({.tag = "u"});
  model_ = Model(7);
  const auto report = save({.tag = "t", .replace_existing = true});
  EXPECT_EQ(report.sequence, 3U);
  EXPECT_THAT(names(), ElementsAre("latest", "t.h5", "u.h5"));
  Model again(0);
  EXPECT_EQ(checkpointer_.load({}, again.target()).contents.tag, "t");
  EXPECT_EQ(again, Model(7));
}

TEST_F(Tags, BeyondTheNewestAreRemoved) {
  for (int i = 1; i <= 4; ++i) save({.tag = "step_" + std::to_string(i)});
  EXPECT_THAT(names(), ElementsAre("latest", "step_1.h5", "step_2.h5", "step_3.h5", "step_4.h5"));
  const auto save_keeping = [&](int newest, const std::string& tag) {
    Checkpointer keeping(MPI_COMM_WORLD, directory_, {.retention = {.newest = newest}});
    const auto report = keeping.save(model_.state(), {.tag = tag});
    MPI_Barrier(MPI_COMM_WORLD);
    return report;
  };
  const auto report = save_keeping(3, "a");
  if (world_rank() == 0) {
    EXPECT_THAT(report.removed_tags, ElementsAre("step_1", "step_2"));
  }
  EXPECT_THAT(report.warnings, IsEmpty());
  EXPECT_THAT(names(), ElementsAre("a.h5", "latest", "step_3.h5", "step_4.h5"));
  save_keeping(1, "b");
  EXPECT_THAT(names(), ElementsAre("b.h5", "latest"));
  EXPECT_EQ(checkpointer_.latest_tag(), "b");
}

TEST_F(Tags, ThatCannotBeReadAreNeitherCountedNorRemoved) {
  save({.tag = "a"});
  save({.tag = "b"});
  save({.tag = "c"});
  if (world_rank() == 0) test::flip(directory_ / "b.h5", 20);
  Checkpointer keeping(MPI_COMM_WORLD, directory_, {.retention = {.newest = 2}});
  keeping.save(model_.state(), {.tag = "d"});
  EXPECT_THAT(names(), ElementsAre("b.h5", "c.h5", "d.h5", "latest"));
}

TEST_F(Tags, AreNumberedOnAfterTheHighestThatIsThere) {
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(save({.tag = std::to_string(i)}).sequence, static_cast<std::uint64_t>(i));
  MPI_Barrier(MPI_COMM_WORLD);
  if (world_rank() == 0) std::filesystem::remove(directory_ / "1.h5");
  Checkpointer other(MPI_COMM_WORLD, directory_);
  EXPECT_EQ(other.save(model_.state(), {.tag = "4"}).sequence, 4U);
}

TEST_F(Tags, LeftoversOfAKilledSaveAreClearedAndNeverLoaded) {
  save({.tag = "good"});
  MPI_Barrier(MPI_COMM_WORLD);
  if (world_rank() == 0) {
    std::filesystem::copy_file(directory_ / "good.h5", directory_ / ".step_9.h5.part");
    test::write_text(directory_ / ".latest.pointer.part", "step_9\n");
  }
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(checkpointer_.load({}, model_.target()).contents.tag, "good");
  save({.tag = "next"});
  EXPECT_THAT(names(), ElementsAre("good.h5", "latest", "next.h5"));
}

}  // namespace
}  // namespace muster::tags_test
