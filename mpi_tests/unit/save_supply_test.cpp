// How many saves keep one under way from one point of a step to the next.

#include "train/save_supply.hpp"

#include <gtest/gtest.h>

namespace muster::train {
namespace {

constexpr auto kFirst = SavePoint::before_gradients;
constexpr auto kSecond = SavePoint::after_gradients;
constexpr auto kThird = SavePoint::before_update;

TEST(SaveSupply, KnowsNothingBeforeAStepAndASave) {
  SaveSupply supply;
  EXPECT_FALSE(supply.wanted(kFirst, 0));
  supply.note_save(0.1);
  EXPECT_FALSE(supply.wanted(kSecond, 1));
  EXPECT_FALSE(supply.wanted(kThird, 2));
  EXPECT_TRUE(supply.wanted(kFirst, 3));
}

TEST(SaveSupply, LastsFromPointToPoint) {
  SaveSupply supply;
  supply.note_save(0.25);
  supply.wanted(kFirst, 0);
  supply.wanted(kSecond, 1);
  supply.wanted(kThird, 1.125);
  EXPECT_EQ(supply.wanted(kFirst, 1.5), 4 + 1);
  EXPECT_EQ(supply.wanted(kSecond, 2), 1 + 1);
  EXPECT_EQ(supply.wanted(kThird, 2.125), 2) << "0.375 s for the update: two, and not one more";
  // This step's first part took half as long.
  EXPECT_EQ(supply.wanted(kFirst, 3), 2 + 1);
}

TEST(SaveSupply, GoesByTheLastSave) {
  SaveSupply supply;
  supply.wanted(kFirst, 0);
  supply.wanted(kSecond, 1);
  supply.note_save(1);
  EXPECT_EQ(supply.wanted(kFirst, 2), 1 + 1);
  supply.note_save(0.5);
  EXPECT_EQ(supply.wanted(kFirst, 3), 2 + 1);
  supply.note_save(0);
  EXPECT_EQ(supply.wanted(kFirst, 4), 1000 + 1);
}

}  // namespace
}  // namespace muster::train
