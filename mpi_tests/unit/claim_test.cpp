// What saves of one process hold of a directory.

#include "store/claim.hpp"

#include <gtest/gtest.h>

#include <optional>

#include "support/expect_error.hpp"
#include "support/files.hpp"

namespace muster::store::claim_test {
namespace {

TEST(Claim, OfAPartIsForOneSaveAtATime) {
  const test::TempDir directory;
  const auto part = directory.path() / ".t.h5.part";
  std::optional<Claim> first(std::in_place, part, 1);
  EXPECT_TRUE(Claim::any_in(directory.path()));
  EXPECT_EQ(test::error_of(ErrorKind::busy, [&] { const Claim second(part, 1); }),
            part.string() + " is being written by another save of this process");
  const Claim other(directory.path() / ".other.h5.part", 1);
  first.reset();
  const Claim again(part, 1);
}

TEST(Claim, SeesThroughSymbolicLinks) {
  const test::TempDir directory;
  const test::TempDir elsewhere;
  const auto link = elsewhere.path() / "link";
  std::filesystem::create_directory_symlink(directory.path(), link);
  const Claim claim(directory.path() / ".t.h5.part", 1);
  EXPECT_TRUE(Claim::any_in(link));
  test::error_of(ErrorKind::busy, [&] { const Claim second(link / ".t.h5.part", 1); });
  EXPECT_FALSE(Claim::any_in(elsewhere.path()));
}

TEST(Claim, NumbersAreNeverGivenTwice) {
  const test::TempDir directory;
  const Claim first(directory.path() / ".a.part", 5);
  EXPECT_EQ(first.sequence(), 5U);
  {
    const Claim second(directory.path() / ".b.part", 5);
    EXPECT_EQ(second.sequence(), 6U);
  }
  const Claim third(directory.path() / ".c.part", 5);
  EXPECT_EQ(third.sequence(), 7U);
  const Claim fourth(directory.path() / ".d.part", 20);
  EXPECT_EQ(fourth.sequence(), 20U);
}

}  // namespace
}  // namespace muster::store::claim_test
