// When bytes may go out at a rate; by a clock of the test's own.

#include "engine/rate_limit.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace muster::engine::rate_limit_test {
namespace {

constexpr double kRate = 1e6;
constexpr std::uint64_t kPiece = 1000;  // a millisecond

TEST(RateLimit, LetsThroughWhatIsNotLimited) {
  RateLimit pace(0);
  for (const double now_s : {0.0, 1.0, 1.0, 1.0}) EXPECT_EQ(pace.claim(kPiece, now_s), now_s);
}

TEST(RateLimit, HoldsBackWhatComesTooFast) {
  RateLimit pace(kRate);
  for (int i = 0; i < 1000; ++i) EXPECT_NEAR(pace.claim(kPiece, 0), i * 1e-3, 1e-9);
}

TEST(RateLimit, MakesUpForLateWakeUps) {
  RateLimit pace(kRate);
  double now_s = 0;
  for (int i = 0; i < 1000; ++i) now_s = std::max(now_s, pace.claim(kPiece, now_s)) + (i % 10 == 0 ? 5e-3 : 0);
  EXPECT_NEAR(now_s, 1.0, RateLimit::kSlackS);
}

TEST(RateLimit, HasNoBurstAfterAPause) {
  RateLimit pace(kRate);
  pace.claim(kPiece, 0);
  constexpr double kLaterS = 100;
  int at_once = 0;
  while (pace.claim(kPiece, kLaterS) <= kLaterS) ++at_once;
  EXPECT_NEAR(at_once, RateLimit::kSlackS * kRate / kPiece, 1.5);
}

}  // namespace
}  // namespace muster::engine::rate_limit_test
