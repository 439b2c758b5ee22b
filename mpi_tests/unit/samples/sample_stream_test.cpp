// The order of samples, and that jobs which change their number of ranks take each sample of an epoch exactly once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <muster/sample_stream.hpp>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/exact_json.hpp"
#include "support/expect_error.hpp"

namespace muster::sample_stream_test {
namespace {

using testing::ElementsAre;
using Indices = std::vector<std::uint64_t>;

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kTwoTo63 = std::uint64_t{1} << 63;

std::uint64_t sample_at(const SampleStreamOptions& options, std::uint64_t epoch, std::uint64_t position) {
  SampleStream stream(options);
  stream.seek(epoch, position);
  return stream.samples(0, 1).at(0);
}

Indices all_samples(std::uint64_t length) {
  Indices indices(length);
  std::iota(indices.begin(), indices.end(), std::uint64_t{0});
  return indices;
}

Indices sorted(Indices indices) {
  std::ranges::sort(indices);
  return indices;
}

template <class Call>
void expect_error(ErrorKind kind, const std::vector<std::string>& parts, Call&& call) {
  const auto message = test::error_of(kind, std::forward<Call>(call));
  for (const auto& part : parts) EXPECT_THAT(message, testing::HasSubstr(part));
}

// As a job that starts again gets it from a checkpoint.
SampleStream resumed(const SampleStreamOptions& options, const std::string& saved) {
  SampleStream stream(options);
  stream.load_state(from_exact_text(saved, "test"));
  return stream;
}

// The numbers come from another implementation of what sample_stream.hpp specifies. If they change, every job that
// resumes from an older checkpoint takes other samples: a change of the algorithm needs a new version.
TEST(SampleStream, HasTheOrderOfVersion1) {
  SampleStream stream({.length = 10});
  EXPECT_THAT(stream.samples(0, 20), ElementsAre(3, 1, 5, 2, 6, 7, 9, 4, 0, 8,  // epoch 0
                                                 1, 8, 9, 6, 2, 4, 3, 7, 0, 5));
  EXPECT_THAT(SampleStream({.length = 10, .seed = 1}).samples(0, 10), ElementsAre(5, 8, 4, 3, 1, 7, 6, 9, 0, 2));

  Indices thousand;
  for (std::uint64_t at = 0; at < 1000; at += 125) thousand.push_back(sample_at({.length = 1000, .seed = 7}, 3, at));
  EXPECT_THAT(thousand, ElementsAre(297, 138, 935, 848, 534, 950, 617, 530));

  const SampleStreamOptions large = {.length = kTwoTo63, .seed = kMax};
  EXPECT_EQ(sample_at(large, 9, 0), 8276472016209082782U);
  EXPECT_EQ(sample_at(large, 9, 1), 3117447619365083338U);
  EXPECT_EQ(sample_at(large, 9, std::uint64_t{1} << 62), 8281023012817434962U);
  EXPECT_EQ(sample_at(large, 9, kTwoTo63 - 1), 5473341861302868747U);

  const SampleStreamOptions just_larger = {.length = kTwoTo63 + 1, .seed = 123456789};
  EXPECT_EQ(sample_at(just_larger, kMax, 0), 7423433788157261380U);
  EXPECT_EQ(sample_at(just_larger, kMax, kTwoTo63), 3517900824643302713U);

  const SampleStreamOptions largest = {.length = kMax, .seed = 123456789};
  EXPECT_EQ(sample_at(largest, 0, 0), 17970575997312317556U);
  EXPECT_EQ(sample_at(largest, 0, kMax - 1), 7119568386570236242U);
}

TEST(SampleStream, TakesEachSampleOfAnEpochOnce) {
  for (std::uint64_t length = 1; length <= 300; ++length) {
    SampleStream stream({.length = length, .seed = length});
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
      ASSERT_EQ(stream.epoch(), epoch);
      ASSERT_EQ(stream.left_in_epoch(), length);
      ASSERT_EQ(sorted(stream.samples(0, length)), all_samples(length)) << "length " << length << ", epoch " << epoch;
      stream.advance(length);
    }
  }
  const std::uint64_t length = 1'000'003;
  EXPECT_EQ(sorted(SampleStream({.length = length, .seed = 5}).samples(0, length)), all_samples(length));
}

// Pearson's statistic of the orders of n samples over many seeds and epochs: for f = n! - 1 degrees of freedom it is
// about f, and above f + 5 * sqrt(2 f) only if some orders come too often.
TEST(SampleStream, AllOrdersAreEquallyFrequent) {
  for (const std::uint64_t length : {2U, 3U, 4U, 5U, 6U}) {
    std::map<Indices, double> counts;
    constexpr int kSeeds = 100;
    constexpr int kEpochs = 600;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      SampleStream stream({.length = length, .seed = seed});
      for (int epoch = 0; epoch < kEpochs; ++epoch, stream.advance(length)) ++counts[stream.samples(0, length)];
    }
    const double orders = std::tgamma(static_cast<double>(length) + 1);
    EXPECT_EQ(static_cast<double>(counts.size()), orders) << "length " << length;
    const double expected = kSeeds * kEpochs / orders;
    double statistic = 0;
    for (const auto& [order, count] : counts) statistic += (count - expected) * (count - expected) / expected;
    EXPECT_LT(statistic, orders - 1 + 5 * std::sqrt(2 * (orders - 1))) << "length " << length;
  }
}

TEST(SampleStream, EpochsAndSeedsOfALargeDatasetHaveDifferentOrders) {
  std::set<Indices> orders;
  for (const std::uint64_t seed : {0U, 1U, 2U, 3U}) {
    SampleStream stream({.length = kTwoTo63, .seed = seed});
    for (std::uint64_t epoch = 0; epoch < 4; ++epoch) {
      stream.seek(epoch);
      orders.insert(stream.samples(0, 3));
    }
  }
  EXPECT_EQ(orders.size(), 16U);
}

TEST(SampleStream, WithoutShuffleTakesTheSamplesInTheirOwnOrder) {
  SampleStream stream({.length = 4, .seed = 9, .shuffle = false});
  stream.advance(3);
  EXPECT_THAT(stream.samples(0, 6), ElementsAre(3, 0, 1, 2, 3, 0));
}

TEST(SampleStream, ABatchCrossesIntoTheNextEpochs) {
  SampleStream stream({.length = 5, .seed = 2});
  auto expected = stream.samples(0, 5);
  stream.seek(1);
  std::ranges::copy(stream.samples(0, 5), std::back_inserter(expected));
  stream.seek(2);
  std::ranges::copy(stream.samples(0, 5), std::back_inserter(expected));

  stream.seek(0);
  EXPECT_EQ(stream.samples(0, 15), expected);
  stream.advance(3);
  EXPECT_EQ(stream.samples(1, 9), Indices(expected.begin() + 4, expected.begin() + 13));
  stream.advance(9);
  EXPECT_EQ(stream.epoch(), 2U);
  EXPECT_EQ(stream.position(), 2U);
  EXPECT_EQ(stream.samples(0, 3), Indices(expected.begin() + 12, expected.end()));
}

TEST(SampleStream, TheEndOfAnEpochIsTheBeginningOfTheNext) {
  SampleStream stream({.length = 5});
  stream.advance(5);
  EXPECT_EQ(stream.epoch(), 1U);
  EXPECT_EQ(stream.position(), 0U);
  stream.advance(0);
  EXPECT_EQ(stream.epoch(), 1U);
  EXPECT_TRUE(stream.samples(3, 0).empty());
}

TEST(SampleStream, OfOneSampleTakesItAgainAndAgain) {
  SampleStream stream({.length = 1, .seed = 3});
  EXPECT_THAT(stream.samples(0, 4), ElementsAre(0, 0, 0, 0));
  stream.advance(kMax);
  EXPECT_EQ(stream.epoch(), kMax);
  EXPECT_THAT(stream.samples(0, 1), ElementsAre(0));
}

TEST(SampleStream, OfNoSampleIsRefused) {
  expect_error(ErrorKind::usage, {"at least one sample"}, [] { SampleStream({.length = 0}); });
}

TEST(SampleStream, SumsDoNotOverflow) {
  SampleStream stream({.length = kMax, .seed = 123456789});
  stream.advance(kMax - 1);
  EXPECT_EQ(stream.position(), kMax - 1);
  EXPECT_EQ(stream.samples(0, 1).at(0), 7119568386570236242U);
  stream.advance(kMax);
  EXPECT_EQ(stream.epoch(), 1U);
  EXPECT_EQ(stream.position(), kMax - 1);
  EXPECT_EQ(stream.samples(1, 1).at(0), sample_at({.length = kMax, .seed = 123456789}, 2, 0));
}

TEST(SampleStream, EndsWithTheLastEpoch) {
  SampleStream stream({.length = 3});
  stream.seek(kMax, 1);
  EXPECT_EQ(stream.samples(0, 2).size(), 2U);
  expect_error(ErrorKind::usage, {"epoch 2^64 - 1"}, [&] { std::ignore = stream.samples(0, 3); });
  expect_error(ErrorKind::usage, {"epoch 2^64 - 1"}, [&] { stream.advance(2); });
  EXPECT_EQ(stream.position(), 1U);
}

TEST(SampleStream, SeekRefusesAPositionOutsideOfTheEpoch) {
  SampleStream stream({.length = 3});
  stream.seek(4, 2);
  expect_error(ErrorKind::usage, {"position 3", "3 samples"}, [&] { stream.seek(5, 3); });
  EXPECT_EQ(stream.epoch(), 4U);
}

TEST(SampleStream, PartsOfABatchFollowEachOther) {
  EXPECT_EQ(part_of_batch(10, 0, 4), (BatchPart{0, 2}));
  EXPECT_EQ(part_of_batch(10, 3, 4), (BatchPart{7, 3}));
  for (const std::uint64_t batch : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{4096}, kMax}) {
    for (const int ranks : {1, 2, 3, 1000, 4097}) {
      std::uint64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const auto part = part_of_batch(batch, rank, ranks);
        ASSERT_EQ(part.first, next);
        ASSERT_LE(part.count - batch / static_cast<std::uint64_t>(ranks), 1U);
        next += part.count;
      }
      ASSERT_EQ(next, batch);
    }
  }
  const auto last = std::numeric_limits<int>::max();
  EXPECT_EQ(part_of_batch(kMax, last - 1, last).first + part_of_batch(kMax, last - 1, last).count, kMax);
  expect_error(ErrorKind::usage, {"rank 4 of 4"}, [] { part_of_batch(8, 4, 4); });
  expect_error(ErrorKind::usage, {"rank -1 of 4"}, [] { part_of_batch(8, -1, 4); });
  expect_error(ErrorKind::usage, {"rank 0 of 0"}, [] { part_of_batch(8, 0, 0); });
}

// A job starts again and again on other numbers of ranks, now and then from an older checkpoint after a kill, and with
// another batch. Every rank has a stream of its own, which knows nothing but the checkpoint. Together the steps that
// count take the samples of a job that was never interrupted, and each epoch has each sample exactly once.
TEST(SampleStream, GoesOnWithTheNextSampleOnAnyNumberOfRanks) {
  std::mt19937_64 random(23);
  const auto draw = [&](std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(random);
  };
  std::size_t streams = 0;
  for (int job = 0; job < 60; ++job) {
    const SampleStreamOptions options = {.length = draw(1, job % 3 == 0 ? 40 : 5000), .seed = random()};
    std::string saved = to_exact_text(SampleStream(options).state(), "test");
    Indices taken;
    std::size_t taken_when_saved = 0;
    for (int start = 0; start < 8; ++start) {
      const auto ranks = static_cast<int>(draw(1, start % 4 == 0 ? 3000 : 16));
      const auto batch = draw(1, 700);
      std::vector<SampleStream> streams_of_ranks(static_cast<std::size_t>(ranks), resumed(options, saved));
      streams += streams_of_ranks.size();
      taken.resize(taken_when_saved);  // steps behind the checkpoint are lost, and done again
      const auto steps = draw(1, 6);
      for (std::uint64_t step = 0; step < steps; ++step) {
        for (int rank = 0; rank < ranks; ++rank) {
          auto& stream = streams_of_ranks[static_cast<std::size_t>(rank)];
          std::ranges::copy(stream.samples_of_rank(batch, rank, ranks), std::back_inserter(taken));
          stream.advance(batch);
        }
        if (draw(0, 2) == 0) continue;
        saved = to_exact_text(streams_of_ranks[draw(0, static_cast<std::uint64_t>(ranks) - 1)].state(), "test");
        taken_when_saved = taken.size();
      }
    }
    taken.resize(taken_when_saved);
    ASSERT_EQ(taken, SampleStream(options).samples(0, taken.size()));
    for (std::size_t first = 0; first < taken.size(); first += options.length) {
      const auto end = std::min<std::size_t>(taken.size(), first + options.length);
      const Indices epoch(taken.begin() + static_cast<std::ptrdiff_t>(first),
                          taken.begin() + static_cast<std::ptrdiff_t>(end));
      if (epoch.size() == options.length) {
        ASSERT_EQ(sorted(epoch), all_samples(options.length));
      } else {
        ASSERT_EQ(std::set<std::uint64_t>(epoch.begin(), epoch.end()).size(), epoch.size());
      }
    }
  }
  EXPECT_GT(streams, 10'000U);
}

TEST(SampleStreamState, KeepsEvery64BitNumber) {
  const SampleStreamOptions options = {.length = kMax, .seed = kMax - 1};
  SampleStream stream(options);
  stream.seek(kMax - 2, kMax - 3);
  EXPECT_EQ(stream.state(), nlohmann::json({{"version", 1},
                                            {"seed", kMax - 1},
                                            {"length", kMax},
                                            {"shuffle", true},
                                            {"epoch", kMax - 2},
                                            {"position", kMax - 3}}));
  const auto loaded = resumed(options, to_exact_text(stream.state(), "test"));
  EXPECT_EQ(loaded.epoch(), kMax - 2);
  EXPECT_EQ(loaded.position(), kMax - 3);
  EXPECT_EQ(loaded.samples(0, 2), stream.samples(0, 2));
}

TEST(SampleStreamState, TakesNumbersOfAnyIntegerType) {
  SampleStream stream({.length = 10});
  const nlohmann::json state = {{"version", int{1}}, {"seed", std::int64_t{0}}, {"length", std::int64_t{10}},
                                {"shuffle", true},   {"epoch", int{2}},         {"position", int{9}}};
  stream.load_state(state);
  EXPECT_EQ(stream.epoch(), 2U);
  EXPECT_EQ(stream.position(), 9U);
}

TEST(SampleStreamState, OfAnotherStreamIsRefusedWithBothValues) {
  SampleStream stream({.length = 10, .seed = 4});
  stream.seek(3, 7);
  const auto refuses = [&](const nlohmann::json& state, const std::vector<std::string>& parts) {
    expect_error(ErrorKind::mismatch, parts, [&] { stream.load_state(state); });
    EXPECT_EQ(stream.epoch(), 3U);
    EXPECT_EQ(stream.position(), 7U);
  };
  refuses(SampleStream({.length = 12, .seed = 4}).state(), {"has the length 12", "this stream has the length 10"});
  refuses(SampleStream({.length = 10, .seed = kMax}).state(),
          {"has the seed 18446744073709551615", "this stream has the seed 4"});
  refuses(SampleStream({.length = 10, .seed = 4, .shuffle = false}).state(), {"\"shuffle\": false", "has true"});
  auto later = stream.state();
  later["version"] = 2;
  refuses(later, {"has version 2 of the algorithm", "this muster has version 1"});
}

TEST(SampleStreamState, ThatNoStreamHasIsRefused) {
  SampleStream stream({.length = 10});
  stream.advance(2);
  const auto refuses = [&](const nlohmann::json& state, const std::string& part) {
    expect_error(ErrorKind::mismatch, {part}, [&] { stream.load_state(state); });
    EXPECT_EQ(stream.position(), 2U);
  };
  const auto with = [&](const char* name, const nlohmann::json& value) {
    auto state = stream.state();
    state[name] = value;
    return state;
  };
  refuses(nlohmann::json(), "is not a JSON object");
  refuses(with("position", 10), "position 10, which is not in an epoch of 10 samples");
  refuses(with("position", -1), "\"position\": -1");
  refuses(with("position", 2.0), "\"position\": 2.0");
  refuses(with("epoch", "5"), "\"epoch\": \"5\"");
  refuses(with("shuffle", 1), "\"shuffle\": 1");
  for (const char* name : {"version", "seed", "length", "shuffle", "epoch", "position"}) {
    auto state = stream.state();
    state.erase(name);
    refuses(state, "has no \"" + std::string(name) + "\"");
  }
}

}  // namespace
}  // namespace muster::sample_stream_test
