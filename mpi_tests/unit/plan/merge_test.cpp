// The job's state from what its ranks hold, and who is named where they disagree.

#include "plan/merge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <muster/sharding.hpp>

#include <muster/error.hpp>

#include "support/expect_error.hpp"

namespace muster::merge_test {
namespace {

using plan::merge;
using plan::RankDescriptions;
using test::error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

ShardDescription whole(std::string path, Shape shape = {4}, DType dtype = DType::float32) {
  return {std::move(path), dtype, std::move(shape), Shard::whole()};
}

ShardDescription flat(std::string path, std::uint64_t first, std::uint64_t count, Shape shape = {12}) {
  return {std::move(path), DType::float32, std::move(shape), Shard::flat(first, count)};
}

std::string mismatch(int world_size, const std::vector<RankDescriptions>& groups) {
  return error_of(ErrorKind::mismatch, [&] { merge(world_size, groups); });
}

TEST(Merge, TakesReplicasAsOneRangeOfAllRanks) {
  const auto state = merge(3, {{{0, 1, 2}, {whole("/b"), whole("/a", {})}}});
  ASSERT_EQ(state.tensors.size(), 2U);
  EXPECT_EQ(state.tensors[0].path, "/a");
  ASSERT_EQ(state.tensors[1].ranges.size(), 1U);
  EXPECT_EQ(state.tensors[1].ranges[0], (ElementRange{0, 4}));
  EXPECT_EQ(state.rank_sets, (std::vector<RankSet>{{0, 1, 2}}));
}

TEST(Merge, PutsPartsTogetherWithTheirHolders) {
  // Ranks 0 and 1 hold the same half; rank 2 the other one; rank 3 an empty part.
  const auto state = merge(4, {{{0, 1}, {flat("/a", 0, 6)}}, {{2}, {flat("/a", 6, 6)}}, {{3}, {flat("/a", 12, 0)}}});
  ASSERT_EQ(state.tensors.size(), 1U);
  const auto& ranges = state.tensors[0].ranges;
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0], (ElementRange{0, 6}));
  EXPECT_EQ(state.rank_sets[ranges[0].rank_set], (RankSet{0, 1}));
  EXPECT_EQ(ranges[1], (ElementRange{6, 6}));
  EXPECT_EQ(state.rank_sets[ranges[1].rank_set], (RankSet{2}));
}

TEST(Merge, UnitesRanksThatDescribeTheSameRangeDifferently) {
  const ShardDescription block{"/a", DType::float32, {4, 3}, Shard::block({0, 0}, {2, 3})};
  const auto state = merge(3, {{{0}, {block}}, {{1}, {flat("/a", 0, 6, {4, 3})}}, {{2}, {flat("/a", 6, 6, {4, 3})}}});
  EXPECT_EQ(state.rank_sets[state.tensors[0].ranges[0].rank_set], (RankSet{0, 1}));
}

TEST(Merge, AcceptsAnEmptyTensorHeldByAll) {
  const auto state = merge(2, {{{0, 1}, {whole("/a", {0, 5})}}});
  EXPECT_EQ(state.tensors[0].ranges.size(), 0U);
}

TEST(Merge, NamesTheRankWithAnotherDtype) {
  EXPECT_THAT(
      mismatch(4, {{{0, 2, 3}, {whole("/model/w")}}, {{1}, {whole("/model/w", {4}, DType::float64)}}}),
      AllOf(HasSubstr("/model/w"), HasSubstr("float32 [4] on ranks 0, 2-3"), HasSubstr("float64 [4] on rank 1")));
}

TEST(Merge, NamesTheRankWithAnotherShape) {
  EXPECT_THAT(mismatch(2, {{{0}, {whole("/model/w", {2, 2})}}, {{1}, {whole("/model/w", {4})}}}),
              AllOf(HasSubstr("float32 [2, 2] on rank 0"), HasSubstr("float32 [4] on rank 1")));
}

TEST(Merge, NamesTheRankThatHoldsOneKeyMore) {
  EXPECT_THAT(mismatch(3, {{{0, 1}, {whole("/a")}}, {{2}, {whole("/a"), whole("/extra")}}}),
              AllOf(HasSubstr("/extra: held by rank 2, missing on ranks 0-1"), Not(HasSubstr("/a:"))));
}

TEST(Merge, NamesTheRankThatLacksAKey) {
  EXPECT_THAT(mismatch(3, {{{0, 1}, {whole("/a"), whole("/b")}}, {{2}, {whole("/a")}}}),
              HasSubstr("/b: held by ranks 0-1, missing on rank 2"));
}

TEST(Merge, NamesRanksOfWhichOneHoldsTheWholeAndOneAPart) {
  EXPECT_THAT(mismatch(2, {{{0}, {whole("/a", {12})}}, {{1}, {flat("/a", 0, 6)}}}),
              AllOf(HasSubstr("float32 [12] on rank 0"), HasSubstr("float32 [12] in parts on rank 1")));
}

TEST(Merge, NamesElementsThatNoRankHolds) {
  EXPECT_THAT(mismatch(2, {{{0}, {flat("/a", 2, 4)}}, {{1}, {flat("/a", 6, 6)}}}),
              HasSubstr("/a: elements [0, 2) are held by no rank"));
  EXPECT_THAT(mismatch(2, {{{0}, {flat("/a", 0, 4)}}, {{1}, {flat("/a", 6, 6)}}}),
              HasSubstr("/a: elements [4, 6) are held by no rank, other parts by ranks 0-1"));
  EXPECT_THAT(mismatch(2, {{{0}, {flat("/a", 0, 4)}}, {{1}, {flat("/a", 4, 6)}}}),
              HasSubstr("/a: elements [10, 12) are held by no rank, other parts by ranks 0-1"));
  // Of a rank that has none of it nothing is said.
  EXPECT_THAT(mismatch(2, {{{0}, {flat("/a", 0, 4)}}, {{1}, {flat("/a", 4, 0)}}}),
              HasSubstr("/a: elements [4, 12) are held by no rank, other parts by rank 0"));
  EXPECT_THAT(mismatch(1, {{{0}, {flat("/a", 0, 0)}}}), testing::EndsWith("elements [0, 12) are held by no rank"));
}

TEST(Merge, NamesElementsThatTwoPartsShare) {
  EXPECT_THAT(mismatch(2, {{{0}, {flat("/a", 0, 8)}}, {{1}, {flat("/a", 6, 6)}}}),
              HasSubstr("/a: elements [6, 8) are held in two different parts, by rank 0 and by rank 1"));
  EXPECT_THAT(mismatch(2, {{{0}, {flat("/a", 0, 12)}}, {{1}, {flat("/a", 0, 6)}}}), HasSubstr("two different parts"));
}

ShardDescription block(const std::string& path, Shape offset, Shape shape) {
  return {path, DType::float32, {4, 6}, Shard::block(std::move(offset), std::move(shape))};
}

TEST(Merge, PutsBlocksIntoTilesOfTheirOwn) {
  const auto state = merge(3, {{{0}, {block("/a", {0, 0}, {4, 2})}},
                               {{1}, {block("/a", {0, 2}, {4, 2})}},
                               {{2}, {block("/a", {0, 4}, {4, 2})}}});
  ASSERT_EQ(state.tensors.size(), 1U);
  EXPECT_EQ(state.tensors[0].chunk_shape, (Shape{4, 2}));
  const auto& ranges = state.tensors[0].ranges;
  ASSERT_EQ(ranges.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ranges[i], (ElementRange{8 * i, 8}));
    EXPECT_EQ(state.rank_sets[ranges[i].rank_set], RankSet{static_cast<int>(i)});
  }
}

TEST(Merge, LeavesBlocksThatAreRangesOfElementsRowMajor) {
  const auto state = merge(2, {{{0}, {block("/a", {0, 0}, {1, 6})}}, {{1}, {block("/a", {1, 0}, {3, 6})}}});
  EXPECT_TRUE(state.tensors.at(0).chunk_shape.empty());
  EXPECT_EQ(state.tensors.at(0).ranges.size(), 2U);
}

TEST(Merge, PutsBlocksAndRangesOfOneTensorTogether) {
  // The upper half by columns, the lower as elements.
  const auto state = merge(3, {{{0}, {block("/a", {0, 0}, {2, 3})}},
                               {{1}, {block("/a", {0, 3}, {2, 3})}},
                               {{2}, {{"/a", DType::float32, {4, 6}, Shard::flat(12, 12)}}}});
  EXPECT_EQ(state.tensors.at(0).chunk_shape, (Shape{2, 3}));
  std::vector<ElementRange> ranges;
  for (const auto& range : state.tensors.at(0).ranges) ranges.push_back(range);
  EXPECT_THAT(ranges, testing::ElementsAre(ElementRange{0, 6}, ElementRange{6, 6}, ElementRange{12, 12}));
}

TEST(Merge, AsksOnlyThePeersOfAHolderForATensorHeldWhole) {
  // Two stages of two ranks.
  const auto merged = [](const std::vector<RankDescriptions>& groups) {
    plan::Merger merger(std::vector<int>{0, 0, 1, 1});
    for (const auto& [ranks, descriptions] : groups) merger.add(ranks, descriptions);
    return merger.finish();
  };
  const auto state = merged({{{0, 1}, {whole("/first")}}, {{2, 3}, {whole("/second")}}});
  ASSERT_EQ(state.tensors.size(), 2U);
  EXPECT_EQ(state.rank_sets[state.tensors[1].ranges.at(0).rank_set], (RankSet{2, 3}));
  EXPECT_EQ(test::error_of(ErrorKind::mismatch,
                           [&] {
                             merged({{{0, 1}, {whole("/first")}}, {{2}, {whole("/second")}}});
                           }),
            "the ranks do not hold the same state: /second: held by rank 2, missing on rank 3");
}

TEST(Merge, NamesBlocksThatNoRankHolds) {
  EXPECT_THAT(mismatch(2, {{{0}, {block("/a", {0, 0}, {4, 2})}}, {{1}, {block("/a", {0, 4}, {4, 2})}}}),
              HasSubstr("/a: block [0, 4) x [2, 4) is held by no rank"));
  EXPECT_THAT(mismatch(2, {{{0}, {block("/a", {0, 0}, {4, 2})}}, {{1}, {block("/a", {0, 2}, {4, 2})}}}),
              HasSubstr("/a: block [0, 4) x [4, 6) is held by no rank"));
}

TEST(Merge, NamesBlocksThatTwoPartsShareWhicheverIsCut) {
  // Rank 1 holds the upper half of what rank 0 holds: chunks in common, but another part.
  EXPECT_THAT(mismatch(3, {{{0}, {block("/a", {0, 0}, {4, 3})}},
                           {{1}, {block("/a", {0, 0}, {2, 3})}},
                           {{2}, {block("/a", {0, 3}, {4, 3})}}}),
              HasSubstr("/a: block [0, 2) x [0, 3) is held in two different parts, by rank 0 and by rank 1"));
}

TEST(Merge, LeavesFusedRowsRowMajor) {
  const auto fused = [](int part) {
    return ShardDescription{"/qkv", DType::float32, {8, 3}, split_fused({8, 3}, {4, 2, 2}, part, 2)};
  };
  const auto state = merge(3, {{{0, 2}, {fused(0)}}, {{1}, {fused(1)}}});
  EXPECT_TRUE(state.tensors.at(0).chunk_shape.empty());
  std::vector<ElementRange> of_rank_1;
  for (const auto& range : state.tensors[0].ranges) {
    if (state.rank_sets[range.rank_set] == RankSet{1}) of_rank_1.push_back(range);
  }
  EXPECT_THAT(of_rank_1, testing::ElementsAre(ElementRange{6, 6}, ElementRange{15, 3}, ElementRange{21, 3}));
  EXPECT_EQ(state.tensors[0].ranges.size(), 6U);
}

TEST(Merge, GivesTensorsThatAreHeldAlikeTheSameRanges) {
  // Layers of a model, but for one that other ranks hold and one of another shape: none is taken for another.
  const auto halves = [](const std::string& path, int part, Shape shape = {4, 6}) {
    auto shard = split(shape, 1, part, 2);
    return ShardDescription{path, DType::float32, std::move(shape), std::move(shard)};
  };
  const auto state = merge(2, {{{0}, {halves("/a", 0), halves("/b", 0), halves("/c", 1), halves("/d", 0, {4, 8})}},
                               {{1}, {halves("/a", 1), halves("/b", 1), halves("/c", 0), halves("/d", 1, {4, 8})}}});
  const auto holders = [&](std::size_t tensor) {
    std::vector<std::pair<std::uint64_t, int>> all;  // first element in the file, rank
    for (const auto& range : state.tensors.at(tensor).ranges) {
      all.emplace_back(range.first, state.rank_sets[range.rank_set].at(0));
    }
    return all;
  };
  using Holders = std::vector<std::pair<std::uint64_t, int>>;
  EXPECT_EQ(holders(0), (Holders{{0, 0}, {12, 1}}));
  EXPECT_EQ(holders(1), holders(0));
  EXPECT_EQ(state.tensors[1].chunk_shape, (Shape{4, 3}));
  EXPECT_EQ(holders(2), (Holders{{0, 1}, {12, 0}}));
  EXPECT_EQ(holders(3), (Holders{{0, 0}, {16, 1}}));
  EXPECT_EQ(state.tensors[3].chunk_shape, (Shape{4, 4}));
  EXPECT_EQ(state.tensors[3].path, "/d");
}

TEST(Merge, NamesEveryTensorThatIsHeldAlikeAndWrong) {
  const auto half = [](const std::string& path) { return block(path, {0, 0}, {4, 3}); };
  const auto message = mismatch(1, {{{0}, {half("/a"), half("/b")}}});
  EXPECT_THAT(message, AllOf(HasSubstr("/a: block [0, 4) x [3, 6)"), HasSubstr("/b: block [0, 4) x [3, 6)")));
}

TEST(Merge, NamesBlocksThatTwoPartsShare) {
  EXPECT_THAT(mismatch(3, {{{0, 2}, {block("/a", {0, 0}, {4, 4})}}, {{1}, {block("/a", {0, 2}, {4, 4})}}}),
              HasSubstr("/a: block [0, 4) x [2, 4) is held in two different parts, by ranks 0, 2 and by rank 1"));
}

TEST(Merge, ListsEveryTensorThatIsWrongUpToALimit) {
  std::vector<ShardDescription> some;
  for (int i = 0; i < 30; ++i) some.push_back(whole("/only/" + std::to_string(100 + i)));
  const auto message = mismatch(2, {{{0}, some}, {{1}, {whole("/b")}}});
  EXPECT_THAT(message, AllOf(HasSubstr("/b: held by rank 1"), HasSubstr("/only/100"), HasSubstr("/only/118"),
                             HasSubstr("and 11 more")));
}

}  // namespace
}  // namespace muster::merge_test
