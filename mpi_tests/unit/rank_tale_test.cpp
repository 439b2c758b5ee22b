// What ranks tell each other at the end of a background save.

#include "coord/rank_tale.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::coord::rank_tale_test {
namespace {

TEST(RankTale, ComesBackInTheSizeThatWasKnownBefore) {
  RankTale tale;
  tale.telemetry.bytes = 77;
  tale.blocked_s = 0.5;
  tale.durable_ns = 123;
  tale.memcpy_bytes_per_s = 1e10;
  tale.hashes = {1, 2, 3};
  const auto bytes = pack(tale, 3);
  EXPECT_EQ(bytes.size(), tale_bytes(3));
  const auto again = unpack_tale(bytes, 5, 3);
  EXPECT_EQ(again.telemetry.bytes, 77U);
  EXPECT_EQ(again.blocked_s, 0.5);
  EXPECT_EQ(again.durable_ns, 123);
  EXPECT_EQ(again.memcpy_bytes_per_s, 1e10);
  EXPECT_EQ(again.hashes, tale.hashes);
  EXPECT_FALSE(again.failure);
}

TEST(RankTale, OfAFailureHasTheSameSizeAndNoMoreThanSoManyWords) {
  RankTale tale;
  tale.failure = RankFailure{0, ErrorKind::io, std::string(5000, 'x')};
  tale.phase = "write";
  const auto bytes = pack(tale, 3);
  EXPECT_EQ(bytes.size(), tale_bytes(3));
  const auto again = unpack_tale(bytes, 7, 3);
  ASSERT_TRUE(again.failure);
  EXPECT_EQ(again.failure->rank, 7);
  EXPECT_EQ(again.failure->kind, ErrorKind::io);
  EXPECT_EQ(again.failure->message, std::string(RankTale::kMaxMessageBytes, 'x'));
  EXPECT_EQ(again.phase, "write");
}

TEST(RankTale, IsNotCutInsideACharacter) {
  RankTale tale;
  std::string text;
  while (text.size() < RankTale::kMaxMessageBytes + 10) text += "\u20ac";  // three bytes each
  tale.failure = RankFailure{0, ErrorKind::io, text};
  const auto again = unpack_tale(pack(tale, 0), 0, 0);
  EXPECT_EQ(again.failure->message.size() % 3, 0U);
  EXPECT_GT(again.failure->message.size(), RankTale::kMaxMessageBytes - 3);
}

TEST(Verdict, ComesBackWithAsManyFailuresAsFit) {
  Verdict verdict;
  verdict.phase = "sync";
  verdict.sequence = 9;
  verdict.publish_s = 0.25;
  for (int rank = 0; rank < 1000; ++rank) {
    verdict.failures.push_back({rank, ErrorKind::io, "rank " + std::to_string(rank) + std::string(600, '.')});
  }
  const auto bytes = pack(verdict);
  EXPECT_EQ(bytes.size(), Verdict::kBytes);
  const auto again = unpack_verdict(bytes);
  EXPECT_EQ(again.phase, "sync");
  EXPECT_EQ(again.sequence, 9U);
  EXPECT_EQ(again.publish_s, 0.25);
  ASSERT_GT(again.failures.size(), 10U);
  for (std::size_t i = 0; i + 1 < again.failures.size(); ++i) {
    EXPECT_EQ(again.failures[i].message, verdict.failures[i].message);
  }
  EXPECT_THAT(again.failures.back().message,
              testing::EndsWith("(and " + std::to_string(1000 - again.failures.size()) + " ranks more failed)"));
}

TEST(Verdict, WithoutFailuresIsAPublication) {
  Verdict verdict;
  verdict.sequence = 3;
  EXPECT_TRUE(unpack_verdict(pack(verdict)).failures.empty());
}

}  // namespace
}  // namespace muster::coord::rank_tale_test
