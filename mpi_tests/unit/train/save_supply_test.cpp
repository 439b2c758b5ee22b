// How many saves keep one under way from one point of a step to the next.

#include "train/save_supply.hpp"

#include <gtest/gtest.h>

namespace muster::train::save_supply_test {
namespace {

constexpr auto kFirst = SavePoint::before_gradients;
constexpr auto kSecond = SavePoint::after_gradients;
constexpr auto kThird = SavePoint::before_update;

TEST(SaveSupply, KnowsNothingBeforeAStepAndASave) {
  SaveSupply supply;
  EXPECT_FALSE(supply.missing(kFirst, 0, {}));
  EXPECT_FALSE(supply.missing(kSecond, 1, {}));
  EXPECT_FALSE(supply.missing(kFirst, 2, {})) << "a step, and no save";
  supply.note_save(0, 0.125);
  EXPECT_FALSE(supply.missing(kThird, 3, {})) << "where it never was";
  EXPECT_TRUE(supply.missing(kFirst, 4, {}));
}

TEST(SaveSupply, LastsFromPointToPoint) {
  SaveSupply supply;
  supply.missing(kFirst, 0, {});
  supply.note_save(0, 0.25);
  supply.missing(kSecond, 1, {});
  supply.missing(kThird, 1.125, {});
  EXPECT_EQ(supply.missing(kFirst, 1.5, {}), 4 + 1) << "one to spare";
  EXPECT_EQ(supply.missing(kSecond, 2, {}), 1);
  EXPECT_EQ(supply.missing(kThird, 2.125, {}), 2) << "0.375 s for the update: two, and not one more";
  // This step's first part took half as long.
  EXPECT_EQ(supply.missing(kFirst, 3, {}), 2 + 1);
}

TEST(SaveSupply, CountsWhatIsLeftOfThoseInFlight) {
  SaveSupply supply;
  supply.missing(kThird, 0, {});
  supply.missing(kFirst, 1, {});  // the update takes a second
  supply.note_save(1, 1.5);
  EXPECT_EQ(supply.missing(kThird, 1.5, {2, 1.0}), 0) << "none of the two has begun: they last a second";
  supply.missing(kFirst, 2.5, {});
  supply.note_save(1, 2.5);
  EXPECT_EQ(supply.missing(kThird, 3, {1, 1.0}), 1) << "a second each, and half of the first one is done";
}

TEST(SaveSupply, CountsTheFirstInFlightFromWhereItBegan) {
  SaveSupply supply;
  supply.missing(kSecond, 0, {});
  supply.missing(kThird, 1, {});
  supply.note_save(0, 1);
  EXPECT_EQ(supply.missing(kSecond, 100, {1, 100.0}), 0) << "just begun, long after the one before it";
  supply.missing(kThird, 101, {});
  EXPECT_EQ(supply.missing(kSecond, 200, {2, 100.0}), 0) << "it may take longer, but it is not done twice";
}

TEST(SaveSupply, SparesNoneWhereThoseInFlightLast) {
  SaveSupply supply;
  supply.missing(kFirst, 0, {});
  supply.missing(kSecond, 1, {});
  supply.note_save(0, 2);
  EXPECT_EQ(supply.missing(kFirst, 2, {}), 2);
  supply.missing(kSecond, 3, {});
  EXPECT_EQ(supply.missing(kFirst, 4, {3, 0.0}), 0);
}

TEST(SaveSupply, GoesByTheLastSaveWithNothingBeforeIt) {
  SaveSupply supply;
  supply.missing(kFirst, 0, {});
  supply.missing(kSecond, 1, {});
  supply.note_save(0, 1);
  EXPECT_EQ(supply.missing(kFirst, 2, {}), 1 + 1);
  supply.note_save(0, 1.5);  // it waited for the first
  EXPECT_EQ(supply.missing(kFirst, 3, {}), 2 + 1);
  supply.note_save(10, 10.25);  // it waited for none
  EXPECT_EQ(supply.missing(kFirst, 4, {}), 4 + 1);
  supply.note_save(0, 10.25);
  EXPECT_EQ(supply.missing(kFirst, 5, {}), 1000);
}

}  // namespace
}  // namespace muster::train::save_supply_test
