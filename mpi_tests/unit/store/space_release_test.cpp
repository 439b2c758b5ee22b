// The space of removed files comes back while nobody waits for it.

#include "store/space_release.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "base/failpoint.hpp"
#include "store/names.hpp"
#include "store/ownership.hpp"
#include "store/publish.hpp"
#include "store/retention.hpp"
#include "support/files.hpp"

namespace muster::store::space_release_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SpaceReleased : public testing::Test {
 protected:
  SpaceReleased() : ownership_(directory_.path(), this_owner(), false) { ownership_.claim(); }
  ~SpaceReleased() override { failpoint::disarm_all(); }
  const std::filesystem::path& path() { return directory_.path(); }

  // Files below the directory that have no name any more, and that this process has open.
  std::vector<std::string> held() {
    constexpr std::string_view kGone = " (deleted)";
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code closed_meanwhile;
      const auto target = std::filesystem::read_symlink(entry.path(), closed_meanwhile).string();
      if (!target.ends_with(kGone) || !target.starts_with(path().string())) continue;
      names.push_back(std::filesystem::path(target.substr(0, target.size() - kGone.size())).filename());
    }
    return names;
  }

  test::TempDir directory_;
  Ownership ownership_;
};

TEST_F(SpaceReleased, OfRetiredTagsAfterTheCall) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  test::write_text(path() / "old.h5", "x");
  failpoint::arm("space.release", "hold");
  retire(ownership_, {"old", "never_there"});
  EXPECT_THAT(test::names_in(path()), IsEmpty());
  EXPECT_THAT(held(), ElementsAre("old.h5"));
  failpoint::disarm_all();
  EXPECT_TRUE(SpaceRelease::wait());
  EXPECT_THAT(held(), IsEmpty());
  EXPECT_FALSE(SpaceRelease::wait());
}

TEST_F(SpaceReleased, OfAReplacedTagAfterTheCall) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  test::write_text(path() / "t.h5", "old");
  const auto part = part_file(path(), "t", ownership_.generation());
  test::write_text(part, "new");
  failpoint::arm("space.release", "hold");
  publish(ownership_, part, "t");
  EXPECT_THAT(held(), ElementsAre("t.h5"));
  failpoint::disarm_all();
  EXPECT_TRUE(SpaceRelease::wait());
  EXPECT_THAT(held(), IsEmpty());
}

TEST_F(SpaceReleased, BeforeMoreIsRemoved) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  test::write_text(path() / "a.h5", "x");
  test::write_text(path() / "b.h5", "x");
  failpoint::arm("space.release", "hold");
  retire(ownership_, {"a"});
  auto second = std::async(std::launch::async, [&] { retire(ownership_, {"b"}); });
  EXPECT_EQ(second.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  EXPECT_THAT(held(), ElementsAre("a.h5"));
  failpoint::disarm_all();
  second.get();
  EXPECT_TRUE(SpaceRelease::wait());
  EXPECT_THAT(held(), IsEmpty());
}

TEST_F(SpaceReleased, OfSomeTagsWhereManyGo) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  constexpr int kTags = 20;
  std::vector<std::string> tags;
  for (int i = 0; i < kTags; ++i) {
    tags.push_back("t" + std::to_string(i));
    test::write_text(path() / (tags.back() + ".h5"), "x");
  }
  failpoint::arm("space.release", "hold");
  retire(ownership_, tags);
  EXPECT_THAT(test::names_in(path()), IsEmpty());
  EXPECT_THAT(held(), SizeIs(8));
  failpoint::disarm_all();
  EXPECT_TRUE(SpaceRelease::wait());
}

TEST_F(SpaceReleased, OfNothingThatCannotBeOpened) {
  std::filesystem::create_symlink("nowhere", path() / "link");
  {
    SpaceRelease space;
    space.keep(path() / "none");
    space.keep(path() / "link");
    space.keep("/proc/self/status");  // not a file system of that kind
  }
  EXPECT_FALSE(SpaceRelease::wait());
}

}  // namespace
}  // namespace muster::store::space_release_test
