// Who reads which bytes and who gets them.

#include "plan/read_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <muster/sharding.hpp>
#include <set>

#include "model/layout.hpp"
#include "model/shard_map.hpp"
#include "model/storage_order.hpp"
#include "support/sample.hpp"

namespace muster::read_plan_test {
namespace {

using plan::plan_reads;
using plan::RankRequests;
using plan::ReadRequest;
using test::pick;
using test::Random;

Layout random_layout(Random& random) {
  std::vector<GlobalTensor> tensors;
  const auto count = pick(random, 0, 25);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto elements = pick(random, 0, std::uint64_t{1} << pick(random, 0, 26));
    tensors.push_back({"/t/" + std::to_string(i), DType::float32, {elements}});
  }
  const auto world_size = static_cast<int>(pick(random, 1, 6));
  return test::layout_of(test::replicated(world_size, tensors), 4096);
}

RankRequests random_request(Random& random, const Layout& layout, RankSet ranks) {
  RankRequests rank_requests{std::move(ranks), {}};
  for (std::uint32_t i = 0; i < layout.tensors.size(); ++i) {
    const auto bytes = layout.tensors[i].bytes;
    if (bytes == 0 || random() % 3 == 0) continue;
    if (random() % 2 == 0) {
      rank_requests.requests.push_back({{0, bytes}, i});
    } else {
      const auto first = pick(random, 0, bytes - 1);
      rank_requests.requests.push_back({{first, pick(random, 1, bytes - first)}, i});
    }
  }
  return rank_requests;
}

// Which ranks want any byte of each extent, found the slow way.
std::vector<std::set<int>> wanted_extents(const Layout& layout, const std::vector<RankRequests>& all_requests) {
  std::vector<std::set<int>> wanted(layout.extents.size());
  for (const auto& rank_requests : all_requests) {
    for (const auto& request : rank_requests.requests) {
      const auto begin = layout.tensors[request.tensor].offset + request.offset;
      for (std::size_t i = 0; i < layout.extents.size(); ++i) {
        const auto& extent = layout.extents[i];
        if (extent.offset < begin + request.bytes && begin < extent.offset + extent.bytes) {
          wanted[i].insert(rank_requests.ranks.begin(), rank_requests.ranks.end());
        }
      }
    }
  }
  return wanted;
}

TEST(ReadPlan, HasEachWantedExtentInExactlyOneBoundedUnit) {
  Random random(9);
  std::size_t units_seen = 0;
  for (int i = 0; i < 500; ++i) {
    const auto layout = random_layout(random);
    std::vector<RankRequests> all_requests;
    int rank = 0;
    const auto groups = pick(random, 1, 4);
    for (std::uint64_t group = 0; group < groups; ++group) {
      RankSet ranks;
      const auto members = pick(random, 1, 3);
      for (std::uint64_t member = 0; member < members; ++member) ranks.push_back(rank++);
      all_requests.push_back(random_request(random, layout, std::move(ranks)));
    }
    RankSet readers;
    for (int reader = 0; reader < rank; ++reader) {
      if (readers.empty() || random() % 2 == 0) readers.push_back(reader);
    }
    const auto units = plan_reads(layout, all_requests, readers);
    const auto wanted = wanted_extents(layout, all_requests);
    std::vector<int> times(layout.extents.size(), 0);
    std::uint64_t end = 0;
    for (const auto& unit : units) {
      ++units_seen;
      ASSERT_GT(unit.extents, 0U);
      ASSERT_LE(unit.bytes, kMaxExtentBytes);
      ASSERT_GE(unit.offset, end);
      end = unit.offset + unit.bytes;
      ASSERT_TRUE(std::binary_search(readers.begin(), readers.end(), unit.reader));
      ASSERT_EQ(unit.offset, layout.extents[unit.first_extent].offset);
      const auto& last = layout.extents[unit.first_extent + unit.extents - 1];
      ASSERT_EQ(end, last.offset + last.bytes);
      const RankSet ranks = unit.wanted_by;
      ASSERT_TRUE(std::is_sorted(ranks.begin(), ranks.end()));
      for (auto extent = unit.first_extent; extent < unit.first_extent + unit.extents; ++extent) {
        ++times[extent];
        ASSERT_EQ(RankSet(wanted[extent].begin(), wanted[extent].end()), ranks);
      }
    }
    for (std::size_t extent = 0; extent < times.size(); ++extent) {
      ASSERT_EQ(times[extent], wanted[extent].empty() ? 0 : 1);
    }
  }
  EXPECT_GT(units_seen, 1000U);
}

TEST(ReadPlan, PutsSmallNeighboursIntoOneUnit) {
  std::vector<GlobalTensor> tensors;
  RankRequests all{{0, 1}, {}};
  for (std::uint32_t i = 0; i < 1000; ++i) {
    tensors.push_back({"/t/" + std::to_string(i), DType::float32, {1000}});
    all.requests.push_back({{0, 4000}, i});
  }
  const auto layout = test::layout_of(test::replicated(2, tensors), 4096);
  EXPECT_EQ(plan_reads(layout, {all}, {0, 1}).size(), 1U);
}

TEST(ReadPlan, SharesALargeTensorOutEvenly) {
  const auto layout = test::layout_of(test::replicated(4, {{"/t", DType::uint8, {64 * kMaxExtentBytes}}}), 4096);
  const auto units = plan_reads(layout, {{{0, 1, 2}, {{{0, 64 * kMaxExtentBytes}, 0}}}}, {0, 1, 2});
  std::map<int, int> of_reader;
  for (const auto& unit : units) ++of_reader[unit.reader];
  ASSERT_EQ(of_reader.size(), 3U);
  for (const auto& [reader, count] : of_reader) EXPECT_NEAR(count, static_cast<double>(units.size()) / 3, 1);
}

TEST(ReadPlan, WantsTheExtentsThatHoldAnyOfAShardAndNoOthers) {
  Random random(21);
  std::size_t untouched = 0;
  for (int round = 0; round < 2000; ++round) {
    Shape shape;
    Shape chunk_shape;
    for (auto dims = pick(random, 1, 3); dims > 0; --dims) {
      shape.push_back(pick(random, 1, 12));
      chunk_shape.push_back(pick(random, 1, shape.back()));
    }
    if (random() % 3 == 0) chunk_shape.clear();
    const auto shard = random() % 4 == 0 ? split_fused(shape, {shape[0] / 2, shape[0] - shape[0] / 2}, 0, 2)
                                         : test::random_part(random, shape);
    SCOPED_TRACE(to_string(shape) + " in chunks " + to_string(chunk_shape) + ": " + to_string(shard));
    // Behind another tensor, in extents that begin anywhere.
    const auto bytes = storage_bytes(DType::int16, shape, chunk_shape);
    Layout layout;
    layout.tensors = {{{"/t/a", DType::uint8, {100}}, {4000, 100}},
                      {{"/t/b", DType::int16, shape}, {4100, bytes}, chunk_shape}};
    layout.extents = {{{4000, 100}, 0, 0}};
    for (std::uint64_t at = 0; at < bytes;) {
      const auto size = pick(random, 1, std::min<std::uint64_t>(bytes - at, 40));
      layout.extents.push_back({{4100 + at, size}, 1, 0});
      at += size;
    }
    std::vector<ReadRequest> requests;
    plan::append_requests(layout, 1, shard, requests);
    const bool is_range = chunk_shape.empty() && contiguous_range(shard, shape).has_value();
    const ShardMap map(StorageOrder(shape, chunk_shape), shard, DType::int16);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      ASSERT_EQ(requests[i].tensor, 1U);
      ASSERT_GT(requests[i].bytes, 0U);
      if (i > 0) {
        ASSERT_GT(requests[i].offset, requests[i - 1].end());
      }
    }
    for (std::size_t i = 1; i < layout.extents.size(); ++i) {
      const auto first = layout.extents[i].offset - 4100;
      const auto last = first + layout.extents[i].bytes;
      std::uint64_t held = 0;
      map.visit_runs(first, last - first, [&](const ShardRun& run) { held += run.bytes; });
      std::uint64_t wanted = 0;
      for (const auto& request : requests) {
        const auto begin = std::max(first, request.offset);
        const auto end = std::min(last, request.end());
        if (begin < end) wanted += end - begin;
      }
      // What is one range is wanted to the byte, all else by whole extents.
      ASSERT_EQ(wanted, is_range ? held : (held > 0 ? last - first : 0));
      untouched += held > 0 ? 0 : 1;
    }
  }
  EXPECT_GT(untouched, 1000U);
}

std::map<int, std::uint64_t> bytes_of_readers(const std::vector<plan::ReadUnit>& units) {
  std::map<int, std::uint64_t> bytes;
  for (const auto& unit : units) bytes[unit.reader] += unit.bytes;
  return bytes;
}

TEST(ReadPlan, LetsARankThatWantsAUnitReadIt) {
  // Rank i wants the i-th quarter, cut at extents; the last quarter is wanted by rank 7, which does not read.
  constexpr auto kQuarter = 16 * kMaxExtentBytes;
  const auto layout = test::layout_of(test::replicated(1, {{"/t", DType::uint8, {4 * kQuarter}}}), 4096);
  std::vector<RankRequests> all_requests;
  for (int rank = 0; rank < 4; ++rank) {
    all_requests.push_back({{rank < 3 ? rank : 7}, {{{static_cast<std::uint64_t>(rank) * kQuarter, kQuarter}, 0}}});
  }
  for (const auto& unit : plan_reads(layout, all_requests, {0, 1, 2, 3})) {
    // Of the readers only rank 3 has nothing of its own to read.
    EXPECT_EQ(unit.reader, unit.wanted_by.front() == 7 ? 3 : unit.wanted_by.front());
  }
}

TEST(ReadPlan, LevelsWhatManyWantOverThoseThatHaveLessOfTheirOwn) {
  // Rank 0 alone wants 30 extents; all three want 60 more, which then lie with the others.
  constexpr auto kOwn = 30 * kMaxExtentBytes;
  const auto layout =
      test::layout_of(test::replicated(1, {{"/a", DType::uint8, {2 * kOwn}}, {"/b", DType::uint8, {kOwn}}}), 4096);
  const auto units = plan_reads(layout, {{{0, 1, 2}, {{{0, 2 * kOwn}, 0}}}, {{0}, {{{0, kOwn}, 1}}}}, {0, 1, 2});
  for (const auto& [reader, bytes] : bytes_of_readers(units)) EXPECT_EQ(bytes, kOwn) << reader;
}

TEST(ReadPlan, IsEvenInBytesWhateverTheSizesOfTheUnits) {
  Random random(4);
  for (const int ranks : {1, 2, 3, 16, 300}) {
    std::vector<GlobalTensor> tensors;
    RankRequests all{{}, {}};
    for (int rank = 0; rank < ranks; ++rank) all.ranks.push_back(rank);
    for (std::uint32_t i = 0; i < 400; ++i) {
      tensors.push_back({"/t/" + std::to_string(i), DType::uint8, {pick(random, 1, 3 * kMaxExtentBytes)}});
    }
    const auto layout = test::layout_of(test::replicated(ranks, tensors), 4096);
    std::uint64_t total = 0;
    for (std::uint32_t i = 0; i < layout.tensors.size(); ++i) {
      all.requests.push_back({{0, layout.tensors[i].bytes}, i});
      total += layout.tensors[i].bytes;
    }
    const auto bytes = bytes_of_readers(plan_reads(layout, {all}, all.ranks));
    ASSERT_EQ(bytes.size(), static_cast<std::size_t>(ranks));
    for (const auto& [reader, read] : bytes) {
      EXPECT_NEAR(static_cast<double>(read), static_cast<double>(total) / ranks, 1.0 * kMaxExtentBytes) << reader;
    }
  }
}

TEST(ReadPlan, TakesRequestsOfARankInSeveralParts) {
  // Ranks 0 and 1 request the same, rank 1 in two parts: the units are cut nowhere.
  const auto layout =
      test::layout_of(test::replicated(1, {{"/a", DType::uint8, {100}}, {"/b", DType::uint8, {100}}}), 4096);
  const auto units = plan_reads(
      layout, {{{0}, {{{0, 100}, 0}, {{0, 100}, 1}}}, {{1}, {{{0, 100}, 0}}}, {{1}, {{{0, 100}, 1}}}}, {0, 1});
  ASSERT_EQ(units.size(), 1U);
  EXPECT_EQ(RankSet(units[0].wanted_by), (RankSet{0, 1}));
}

TEST(ReadPlan, IsEmptyWhereNobodyWantsAnything) {
  const auto layout = test::layout_of(test::replicated(2, {{"/t", DType::uint8, {100}}}), 4096);
  EXPECT_TRUE(plan_reads(layout, {{{0, 1}, {}}}, {0, 1}).empty());
}

}  // namespace
}  // namespace muster::read_plan_test
