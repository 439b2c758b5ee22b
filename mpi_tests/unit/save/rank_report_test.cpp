// What ranks tell each other at the end of a background save.

#include "save/rank_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::save::rank_report_test {
namespace {

TEST(RankReport, ComesBackInTheSizeThatWasKnownBefore) {
  RankReport report;
  report.telemetry.bytes = 77;
  report.blocked_s = 0.5;
  report.durable_ns = 123;
  report.memcpy_bytes_per_s = 1e10;
  report.hashes = {1, 2, 3};
  const auto bytes = pack(report, 3);
  EXPECT_EQ(bytes.size(), report_bytes(3));
  const auto again = unpack_report(bytes, 5, 3);
  EXPECT_EQ(again.telemetry.bytes, 77U);
  EXPECT_EQ(again.blocked_s, 0.5);
  EXPECT_EQ(again.durable_ns, 123);
  EXPECT_EQ(again.memcpy_bytes_per_s, 1e10);
  EXPECT_EQ(again.hashes, report.hashes);
  EXPECT_FALSE(again.failure);
}

TEST(RankReport, OfAFailureHasTheSameSizeAndNoMoreThanSoManyWords) {
  RankReport report;
  report.failure = RankFailure{0, ErrorKind::io, std::string(5000, 'x')};
  report.phase = SavePhase::write;
  const auto bytes = pack(report, 3);
  EXPECT_EQ(bytes.size(), report_bytes(3));
  const auto again = unpack_report(bytes, 7, 3);
  ASSERT_TRUE(again.failure);
  EXPECT_EQ(again.failure->rank, 7);
  EXPECT_EQ(again.failure->kind, ErrorKind::io);
  EXPECT_EQ(again.failure->message, std::string(RankReport::kMaxMessageBytes, 'x'));
  EXPECT_EQ(again.phase, SavePhase::write);
}

TEST(RankReport, IsNotCutInsideACharacter) {
  RankReport report;
  std::string text;
  while (text.size() < RankReport::kMaxMessageBytes + 10) text += "\u20ac";  // three bytes each
  report.failure = RankFailure{0, ErrorKind::io, text};
  const auto again = unpack_report(pack(report, 0), 0, 0);
  EXPECT_EQ(again.failure->message.size() % 3, 0U);
  EXPECT_GT(again.failure->message.size(), RankReport::kMaxMessageBytes - 3);
}

TEST(SaveOutcome, ComesBackWithAsManyFailuresAsFit) {
  SaveOutcome outcome;
  outcome.phase = SavePhase::sync;
  outcome.sequence = 9;
  outcome.publish_s = 0.25;
  for (int rank = 0; rank < 1000; ++rank) {
    outcome.failures.push_back({rank, ErrorKind::io, "rank " + std::to_string(rank) + std::string(600, '.')});
  }
  const auto bytes = pack(outcome);
  EXPECT_EQ(bytes.size(), SaveOutcome::kBytes);
  const auto again = unpack_outcome(bytes);
  EXPECT_EQ(again.phase, SavePhase::sync);
  EXPECT_EQ(again.sequence, 9U);
  EXPECT_EQ(again.publish_s, 0.25);
  ASSERT_GT(again.failures.size(), 10U);
  for (std::size_t i = 0; i + 1 < again.failures.size(); ++i) {
    EXPECT_EQ(again.failures[i].message, outcome.failures[i].message);
  }
  EXPECT_THAT(again.failures.back().message,
              testing::EndsWith("(and " + std::to_string(1000 - again.failures.size()) + " ranks more failed)"));
}

TEST(SaveOutcome, WithoutFailuresIsAPublication) {
  SaveOutcome outcome;
  outcome.sequence = 3;
  EXPECT_TRUE(unpack_outcome(pack(outcome)).failures.empty());
}

}  // namespace
}  // namespace muster::save::rank_report_test
