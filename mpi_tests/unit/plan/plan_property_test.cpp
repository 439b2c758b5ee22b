// From what ranks hold to the bytes of the file and on to what others want, by the functions that a save and a load
// use, for thousands of random jobs without MPI. The oracle knows shards and chunks element by element and nothing of
// plans: each element has a value that follows from its key and its number alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <span>

#include "engine/shard_bytes.hpp"
#include "load/target_match.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"
#include "plan/read_plan.hpp"
#include "plan/read_requests.hpp"
#include "save/save_plan.hpp"
#include "support/placement.hpp"
#include "support/random_job.hpp"
#include "support/sanitized.hpp"

namespace muster::plan_property_test {
namespace {

using test::HeldByRanks;
using test::pick;
using test::Random;
using test::RandomJob;

constexpr int kCases = test::kSanitized ? 200 : 4000;

// One byte of an element.
std::byte value_of(const std::string& path, std::uint64_t element, std::uint64_t byte) {
  std::uint64_t x = std::hash<std::string>()(path) + (element * 16 + byte + 1) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return static_cast<std::byte>(x >> 32);
}

// A rank's memory of a tensor, with the right values.
Bytes right_values(const ShardDescription& held) {
  Bytes bytes;
  const auto item = item_bytes(held.dtype);
  for (const auto element : test::elements_of(held.shard, held.shape)) {
    for (std::uint64_t byte = 0; byte < item; ++byte) bytes.push_back(value_of(held.path, element, byte));
  }
  return bytes;
}

// One rank: what it holds, or wants, and its memory.
struct Rank {
  std::vector<Bytes> right;
  std::vector<Bytes> memory;
  State state;
};

enum class Fill : std::uint8_t { right, wrong };

std::vector<Rank> ranks_of(const HeldByRanks& held, Fill fill) {
  std::vector<Rank> ranks(held.size());
  for (std::size_t i = 0; i < held.size(); ++i) {
    auto& [right, memory, state] = ranks[i];
    for (const auto& description : held[i]) {
      right.push_back(right_values(description));
      auto& bytes = memory.emplace_back(right.back());
      if (fill == Fill::wrong) std::ranges::transform(bytes, bytes.begin(), [](std::byte byte) { return ~byte; });
    }
    for (std::size_t k = 0; k < held[i].size(); ++k) {
      const auto& description = held[i][k];
      state.add_mutable(description.path, description.dtype, description.shape, memory[k].data(), description.shard);
    }
  }
  return ranks;
}

// Who says the same, as ranks find out over MPI; in any order.
std::vector<std::pair<RankSet, Bytes>> distinct(Random& random, const std::vector<std::vector<Bytes>>& of_ranks) {
  std::map<std::string, RankSet> who;
  for (std::size_t rank = 0; rank < of_ranks.size(); ++rank) {
    for (const auto& packed : of_ranks[rank]) {
      who[std::string(reinterpret_cast<const char*>(packed.data()), packed.size())].push_back(static_cast<int>(rank));
    }
  }
  std::vector<std::pair<RankSet, Bytes>> all;
  for (const auto& [text, ranks] : who) {
    const auto bytes = std::as_bytes(std::span(text));
    all.emplace_back(ranks, Bytes(bytes.begin(), bytes.end()));
  }
  std::ranges::shuffle(all, random);
  return all;
}

std::vector<int> random_nodes(Random& random, std::size_t ranks) {
  std::vector<int> nodes;
  for (std::size_t rank = 0; rank < ranks; ++rank) nodes.push_back(static_cast<int>(pick(random, 0, 2)));
  return nodes;
}

Layout planned(Random& random, const RandomJob& job, const std::vector<Rank>& ranks) {
  std::vector<std::vector<Bytes>> packed;
  for (const auto& rank : ranks) {
    plan::check_state(rank.state);
    packed.push_back(plan::pack_for_exchange(plan::describe(rank.state)));
  }
  const ParallelGrid grid(job.grid, job.ranks);
  std::vector<int> peers;
  for (int rank = 0; rank < job.ranks; ++rank) {
    peers.push_back(grid.group_number(rank, {Axis::tensor, Axis::context, Axis::data}));
  }
  plan::Merger merger(peers);
  for (const auto& [said_by, bytes] : distinct(random, packed)) merger.add(said_by, plan::unpack(bytes));
  auto state = merger.finish();
  state.documents = {{"/user_content", 1024}};
  const auto alignment = std::uint64_t{512} << pick(random, 0, 3);
  return plan::lay_out(plan::balance(state, {.node_of_rank = random_nodes(random, ranks.size()),
                                             .writers_per_node = static_cast<int>(pick(random, 0, 2)),
                                             .alignment_bytes = alignment}),
                       alignment);
}

constexpr auto kUntouched = std::byte{0xA5};

// What the writers make of a file in which no byte of the payload was written before.
Bytes written(const Layout& layout, const std::vector<Rank>& ranks) {
  Bytes file(layout.file_bytes, kUntouched);
  std::vector<std::uint8_t> times(file.size(), 0);
  std::map<std::string, std::uint32_t> index_of;
  for (std::uint32_t i = 0; i < layout.tensors.size(); ++i) index_of[layout.tensors[i].path] = i;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    save::SavePlan plan{.layout = layout, .stored_as = {}, .choice = {}};
    for (const auto& tensor : ranks[rank].state.tensors()) {
      plan.stored_as.push_back(index_of.at(tensor.description.path));
    }
    const auto shards = save::local_shards(plan, ranks[rank].state);
    engine::ExtentBytes bytes;
    for (const auto& extent : layout.extents) {
      if (extent.writer != static_cast<int>(rank)) continue;
      const auto from = bytes.get(layout, shards, extent);
      EXPECT_EQ(from.size(), extent.bytes);
      std::ranges::copy(from, file.begin() + static_cast<std::ptrdiff_t>(extent.offset));
      for (std::uint64_t at = extent.offset; at < extent.offset + extent.bytes; ++at) ++times[at];
    }
  }
  // Every byte of every tensor once, and no other.
  std::vector<std::uint8_t> expected(file.size(), 0);
  for (const auto& tensor : layout.tensors) {
    for (std::uint64_t at = tensor.offset; at < tensor.end(); ++at) ++expected[at];
  }
  EXPECT_TRUE(times == expected) << "not every byte of the tensors is written once, and nothing else";
  return file;
}

// What HDF5 would find of each tensor.
void expect_tensors_in(const Bytes& file, const Layout& layout, const std::vector<TensorDescription>& tensors) {
  for (const auto& tensor : tensors) {
    const auto stored = std::ranges::find(layout.tensors, tensor.path, &StoredTensor::path);
    ASSERT_NE(stored, layout.tensors.end()) << tensor.path;
    const auto& shape = tensor.shape;
    ASSERT_EQ(stored->shape, shape);
    ASSERT_EQ(stored->dtype, tensor.dtype);
    const auto item = item_bytes(tensor.dtype);
    std::vector<bool> is_element(stored->bytes, false);
    for (std::uint64_t element = 0; element < element_count(shape); ++element) {
      const auto place = stored->chunk_shape.empty()
                             ? element
                             : test::place_of(test::index_of(element, shape), shape, stored->chunk_shape);
      for (std::uint64_t byte = 0; byte < item; ++byte) {
        const auto at = place * item + byte;
        ASSERT_EQ(file[stored->offset + at], value_of(tensor.path, element, byte))
            << tensor.path << " " << to_string(shape) << " in chunks " << to_string(stored->chunk_shape) << ", element "
            << element;
        is_element[at] = true;
      }
    }
    for (std::uint64_t at = 0; at < stored->bytes; ++at) {
      if (!is_element[at]) {
        ASSERT_EQ(file[stored->offset + at], std::byte{0}) << "padding of " << tensor.path;
      }
    }
  }
}

std::string told(const HeldByRanks& held) {
  std::string text;
  for (std::size_t rank = 0; rank < held.size(); ++rank) {
    for (const auto& one : held[rank]) {
      text += "\n  rank " + std::to_string(rank) + ": " + one.path + " " + std::string(name(one.dtype)) + " " +
              to_string(one.shape) + " " + to_string(one.shard);
    }
  }
  return text;
}

// What a unit brings to a rank that wants any of it.
void place(const Bytes& file, const Catalog& catalog, const plan::ReadUnit& unit,
           const std::vector<load::Destination>& destinations) {
  for (std::size_t i = unit.first_extent; i < unit.first_extent + unit.extents; ++i) {
    const auto& extent = catalog.extents[i];
    ASSERT_GE(extent.offset, unit.offset);
    ASSERT_LE(extent.end(), unit.end());
    const auto& tensor = catalog.tensors[extent.tensor];
    const auto in_tensor = extent.offset - tensor.offset;
    for (const auto& to : destinations) {
      if (to.request.tensor != extent.tensor) continue;
      const auto copy = [&](std::uint64_t in_file, std::uint64_t in_shard, std::uint64_t bytes) {
        const auto from = file.begin() + static_cast<std::ptrdiff_t>(tensor.offset + in_file);
        std::copy(from, from + static_cast<std::ptrdiff_t>(bytes), to.memory->data + in_shard);
      };
      if (to.map) {
        to.map->visit_runs(in_tensor, extent.bytes,
                           [&](const ShardRun& run) { copy(run.in_file, run.in_shard, run.bytes); });
        continue;
      }
      const auto first = std::max(in_tensor, to.request.offset);
      const auto last = std::min(in_tensor + extent.bytes, to.request.end());
      if (first < last) copy(first, first - to.request.offset, last - first);
    }
  }
}

// How many bytes were read.
std::uint64_t load(Random& random, const Bytes& file, const Catalog& catalog, std::vector<Rank>& ranks) {
  const LoadOptions options;
  const load::KeySelection seen(options, catalog);
  std::vector<load::TargetMatch> wanted;
  std::vector<LoadTarget> targets(ranks.size());
  std::vector<std::vector<Bytes>> packed;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    targets[rank].state = ranks[rank].state;
    wanted.push_back(load::compare(targets[rank], catalog, seen, options));
    for (const auto& difference : wanted.back().differences) ADD_FAILURE() << difference.line;
    packed.push_back(plan::pack_for_exchange(catalog, wanted.back().requests(catalog)));
  }
  std::vector<plan::RankRequests> all_requests;
  for (const auto& [ranks_of_wish, bytes] : distinct(random, packed)) {
    all_requests.push_back({ranks_of_wish, plan::unpack_requests(bytes)});
  }
  RankSet readers;
  const bool all_read = random() % 2 == 0;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    if (all_read || random() % 2 == 0) readers.push_back(static_cast<int>(rank));
  }
  if (readers.empty()) readers.push_back(0);
  std::uint64_t read = 0;
  std::uint64_t end = 0;
  for (const auto& unit : plan::plan_reads(catalog, all_requests, readers)) {
    EXPECT_GE(unit.offset, end);  // nothing twice
    end = unit.end();
    read += unit.bytes;
    EXPECT_TRUE(std::ranges::binary_search(readers, unit.reader));
    for (const int rank : unit.wanted_by) {
      place(file, catalog, unit, wanted[static_cast<std::size_t>(rank)].destinations);
    }
  }
  return read;
}

void expect_right(const std::vector<Rank>& ranks) {
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    for (std::size_t i = 0; i < ranks[rank].memory.size(); ++i) {
      ASSERT_TRUE(ranks[rank].memory[i] == ranks[rank].right[i])
          << "rank " << rank << ", " << ranks[rank].state.tensors()[i].description.path;
    }
  }
}

// Of the cases as a whole: that they are of all kinds.
struct Seen {
  std::uint64_t chunked = 0;
  std::uint64_t padded = 0;
  std::uint64_t several_writers = 0;
  std::uint64_t replicas = 0;
  std::uint64_t loads = 0;

  void count(const Layout& layout, const RandomJob& job) {
    for (std::uint32_t i = 0; i < layout.tensors.size(); ++i) {
      const auto& tensor = layout.tensors[i];
      chunked += tensor.chunk_shape.empty() ? 0U : 1U;
      padded += tensor.bytes > element_count(tensor.shape) * item_bytes(tensor.dtype) ? 1U : 0U;
      int writer = -1;
      for (const auto& extent : layout.extents) {
        if (extent.tensor != i) continue;
        if (writer != -1 && writer != extent.writer) {
          ++several_writers;
          break;
        }
        writer = extent.writer;
      }
    }
    std::map<std::string, std::uint64_t> held;
    for (const auto& rank : job.held) {
      for (const auto& one : rank) held[one.path] += test::elements_of(one.shard, one.shape).size();
    }
    for (const auto& tensor : layout.tensors) {
      if (held[tensor.path] > element_count(tensor.shape)) ++replicas;
    }
  }
};

void run_case(Random& random, const std::vector<TensorDescription>& tensors, Seen& seen) {
  const auto job = test::random_job(random, tensors);
  SCOPED_TRACE("saved in grid " + to_string(job.grid) + told(job.held));
  const auto savers = ranks_of(job.held, Fill::right);
  Layout layout;
  ASSERT_NO_THROW(layout = planned(random, job, savers));
  const auto file = written(layout, savers);
  expect_tensors_in(file, layout, tensors);
  if (testing::Test::HasFailure()) return;
  seen.count(layout, job);
  const Catalog catalog{layout, {}};
  for (const bool is_job : {true, false}) {
    const auto all_requests = is_job ? test::random_job(random, tensors).held : test::random_wishes(random, tensors);
    SCOPED_TRACE("loaded by" + told(all_requests));
    auto loaders = ranks_of(all_requests, Fill::wrong);
    const auto read = load(random, file, catalog, loaders);
    expect_right(loaders);
    EXPECT_LE(read, layout.file_bytes - layout.head_bytes - layout.tables_bytes);
    ++seen.loads;
    if (testing::Test::HasFailure()) return;
  }
}

TEST(PlanProperty, WhatAnyRanksHoldAnyOthersGetToTheElement) {
  Random random(20240611);
  Seen seen;
  for (int number = 0; number < kCases; ++number) {
    SCOPED_TRACE("case " + std::to_string(number));
    run_case(random, test::random_tensors(random, 4), seen);
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%d jobs, %llu loads; tensors in chunks %llu, padded %llu, of several writers %llu, with replicas %llu\n",
              kCases, static_cast<unsigned long long>(seen.loads), static_cast<unsigned long long>(seen.chunked),
              static_cast<unsigned long long>(seen.padded), static_cast<unsigned long long>(seen.several_writers),
              static_cast<unsigned long long>(seen.replicas));
  constexpr auto kEnough = static_cast<std::uint64_t>(kCases) / 8;
  EXPECT_GT(seen.chunked, kEnough);
  EXPECT_GT(seen.padded, kEnough / 4);
  EXPECT_GT(seen.several_writers, kEnough);
  EXPECT_GT(seen.replicas, kEnough);
}

// Large enough for replicas to be cut among their writers.
TEST(PlanProperty, HoldsWhereReplicasAreCut) {
  Random random(3);
  Seen seen;
  for (int number = 0; number < kCases / 200; ++number) {
    SCOPED_TRACE("case " + std::to_string(number));
    const std::vector<TensorDescription> tensors{
        {"/model/a", DType::float64, {pick(random, 100, 200), pick(random, 100, 200)}},
        {"/model/b", DType::complex128, {pick(random, 10000, 20000)}}};
    run_case(random, tensors, seen);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(seen.several_writers, 0U);
}

}  // namespace
}  // namespace muster::plan_property_test
