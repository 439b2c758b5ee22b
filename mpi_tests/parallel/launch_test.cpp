// What names a launch: the same on all of its ranks, and not empty.

#include <gtest/gtest.h>

#include "store/owner.hpp"
#include "support/collective.hpp"

namespace muster {
namespace {

TEST(Launch, HasOneNameOnAllRanks) {
  const auto launch = store::this_owner().launch;
  EXPECT_NE(launch, "");
  EXPECT_TRUE(test::same_everywhere(launch)) << launch;
}

}  // namespace
}  // namespace muster
