// What saves of one process hold of a directory.

#include "store/part_reservation.hpp"

#include <gtest/gtest.h>

#include <optional>

#include "support/expect_error.hpp"
#include "support/files.hpp"

namespace muster::store::part_reservation_test {
namespace {

TEST(PartReservation, OfAPartIsForOneSaveAtATime) {
  const test::TempDir directory;
  const auto part = directory.path() / ".t.h5.part";
  std::optional<PartReservation> first(std::in_place, part, 1);
  EXPECT_TRUE(PartReservation::any_in(directory.path()));
  EXPECT_EQ(test::error_of(ErrorKind::busy, [&] { const PartReservation second(part, 1); }),
            part.string() + " is being written by another save of this process");
  const PartReservation other(directory.path() / ".other.h5.part", 1);
  first.reset();
  const PartReservation again(part, 1);
}

TEST(PartReservation, SeesThroughSymbolicLinks) {
  const test::TempDir directory;
  const test::TempDir elsewhere;
  const auto link = elsewhere.path() / "link";
  std::filesystem::create_directory_symlink(directory.path(), link);
  const PartReservation claim(directory.path() / ".t.h5.part", 1);
  EXPECT_TRUE(PartReservation::any_in(link));
  test::error_of(ErrorKind::busy, [&] { const PartReservation second(link / ".t.h5.part", 1); });
  EXPECT_FALSE(PartReservation::any_in(elsewhere.path()));
}

TEST(PartReservation, NumbersAreNeverGivenTwice) {
  const test::TempDir directory;
  const PartReservation first(directory.path() / ".a.part", 5);
  EXPECT_EQ(first.sequence(), 5U);
  {
    const PartReservation second(directory.path() / ".b.part", 5);
    EXPECT_EQ(second.sequence(), 6U);
  }
  const PartReservation third(directory.path() / ".c.part", 5);
  EXPECT_EQ(third.sequence(), 7U);
  const PartReservation fourth(directory.path() / ".d.part", 20);
  EXPECT_EQ(fourth.sequence(), 20U);
}

}  // namespace
}  // namespace muster::store::part_reservation_test
