#include "support/random_job.hpp"

#include <algorithm>
#include <array>
#include <muster/rules.hpp>
#include <muster/sharding.hpp>
#include <numeric>
#include <set>
#include <string>

#include "base/narrow.hpp"

namespace muster::test {

namespace {

constexpr int kMostRanks = 8;

// Of two numbers the larger one: less often few than many.
std::uint64_t pick_many(Random& random, std::uint64_t low, std::uint64_t high) {
  return std::max(pick(random, low, high), pick(random, low, high));
}

bool maybe(Random& random, std::uint64_t one_in) { return random() % one_in == 0; }

// Numbers in [0, size], ascending, of which the first is 0 and the last is size: parts + 1 of them.
std::vector<std::uint64_t> random_cuts(Random& random, std::uint64_t size, int parts) {
  std::vector<std::uint64_t> cuts{0, size};
  for (int i = 1; i < parts; ++i) cuts.push_back(pick(random, 0, size));
  std::ranges::sort(cuts);
  return cuts;
}

// A dimension's part of a box.
Box narrowed(Box box, std::size_t dim, std::uint64_t first, std::uint64_t count) {
  box.offset[dim] += first;
  box.shape[dim] = count;
  return box;
}

// Boxes that fill this one: cut in two again and again, anywhere.
void append_boxes(Random& random, const Box& box, int boxes, std::vector<Box>& to) {
  if (boxes == 1) return to.push_back(box);
  const auto dim = pick(random, 0, box.shape.size() - 1);
  const auto size = box.shape[dim];
  const auto at = pick(random, 0, size);
  const auto before = narrow<int>(pick(random, 1, narrow<std::uint64_t>(boxes - 1)));
  append_boxes(random, narrowed(box, dim, 0, at), before, to);
  append_boxes(random, narrowed(box, dim, at, size - at), boxes - before, to);
}

std::vector<Shard> chunks(Random& random, const Shape& shape, int parts) {
  std::vector<Shard> shards;
  const auto dim = pick(random, 0, shape.size() - 1);
  for (int part = 0; part < parts; ++part) shards.push_back(split(shape, dim, part, parts));
  return shards;
}

std::vector<Shard> chunks_of_two_dims(Random& random, const Shape& shape, int parts) {
  if (shape.size() < 2) return chunks(random, shape, parts);
  std::vector<int> divisors;
  for (int i = 1; i <= parts; ++i) {
    if (parts % i == 0) divisors.push_back(i);
  }
  const int rows = divisors[pick(random, 0, divisors.size() - 1)];
  const int columns = parts / rows;
  const auto last = shape.size() - 1;
  std::vector<Shard> shards;
  for (int part = 0; part < parts; ++part) {
    auto box = split(shape, 0, part / columns, rows).boxes().front();
    const auto of_last = chunk(shape[last], part % columns, columns);
    box = narrowed(box, last, of_last.first, of_last.count);
    shards.push_back(Shard::block(box.offset, box.shape));
  }
  return shards;
}

std::vector<Shard> fused_chunks(Random& random, const Shape& shape, int parts) {
  const auto cuts = random_cuts(random, shape.front(), narrow<int>(pick(random, 1, 3)));
  std::vector<std::uint64_t> rows;
  for (std::size_t i = 1; i < cuts.size(); ++i) rows.push_back(cuts[i] - cuts[i - 1]);
  std::vector<Shard> shards;
  for (int part = 0; part < parts; ++part) shards.push_back(split_fused(shape, rows, part, parts));
  return shards;
}

// One box a part, or several, in any order.
std::vector<Shard> random_boxes(Random& random, const Shape& shape, int parts) {
  const auto several = narrow<int>(pick(random, 0, 4));
  std::vector<Box> boxes;
  append_boxes(random, {Shape(shape.size(), 0), shape}, parts + several, boxes);
  std::ranges::shuffle(boxes, random);
  std::vector<std::vector<Box>> of_part(narrow<std::size_t>(parts));
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    of_part[i < of_part.size() ? i : pick(random, 0, of_part.size() - 1)].push_back(boxes[i]);
  }
  std::vector<Shard> shards;
  for (auto& some : of_part) {
    shards.push_back(some.size() == 1 ? Shard::block(some[0].offset, some[0].shape) : Shard::blocks(std::move(some)));
  }
  return shards;
}

std::vector<Shard> ranges(Random& random, const Shape& shape, int parts) {
  std::vector<Shard> shards;
  if (maybe(random, 2)) {
    for (int part = 0; part < parts; ++part) shards.push_back(split_flat(shape, part, parts));
    return shards;
  }
  const auto cuts = random_cuts(random, element_count(shape), parts);
  for (std::size_t i = 1; i < cuts.size(); ++i) shards.push_back(Shard::flat(cuts[i - 1], cuts[i] - cuts[i - 1]));
  std::ranges::shuffle(shards, random);
  return shards;
}

std::vector<Shard> parts_of(Random& random, const Shape& shape, int parts);

std::uint64_t elements_in(const Shard& shard, const Shape& shape) {
  if (shard.kind() == Shard::Kind::whole) return element_count(shape);
  if (shard.kind() == Shard::Kind::flat) return shard.count();
  std::uint64_t elements = 0;
  for (const auto& box : shard.boxes()) elements += element_count(box.shape);
  return elements;
}

// Each of some parts shared out: by chunks of its own elements, or anywhere.
std::vector<Shard> shares(Random& random, const Shape& shape, int parts) {
  const auto first = narrow<int>(pick(random, 1, narrow<std::uint64_t>(parts - 1)));
  const auto held = parts_of(random, shape, first);
  std::vector<Shard> shards;
  for (int i = 0; i < first; ++i) {
    const int own = parts / first + (i < parts % first ? 1 : 0);
    const auto& shard = held[narrow<std::size_t>(i)];
    const auto elements = elements_in(shard, shape);
    const auto cuts = random_cuts(random, elements, own);
    const bool in_chunks = maybe(random, 2);
    for (int share = 0; share < own; ++share) {
      const auto at = narrow<std::size_t>(share);
      shards.push_back(part_of(
          shape, shard, in_chunks ? chunk(elements, share, own) : ElementRange{cuts[at], cuts[at + 1] - cuts[at]}));
    }
  }
  return shards;
}

// A tensor in so many parts, of which each element is in one.
std::vector<Shard> parts_of(Random& random, const Shape& shape, int parts) {
  if (shape.empty()) return ranges(random, shape, parts);
  switch (random() % 7) {
    case 0:
      return chunks(random, shape, parts);
    case 1:
      return chunks_of_two_dims(random, shape, parts);
    case 2:
      return fused_chunks(random, shape, parts);
    case 3:
    case 4:
      return random_boxes(random, shape, parts);
    case 5:
      if (parts > 1) return shares(random, shape, parts);
      [[fallthrough]];
    default:
      return ranges(random, shape, parts);
  }
}

// Degrees that make up the number of ranks.
Grid random_grid(Random& random, int ranks) {
  Grid grid;
  grid.data = 1;
  std::vector<int*> degrees{&grid.tensor, &grid.pipeline, &grid.data, &grid.expert, &grid.context};
  for (const int prime : {2, 2, 2, 3, 5, 7}) {
    if (ranks % prime != 0) continue;
    ranks /= prime;
    *degrees[pick(random, 0, degrees.size() - 1)] *= prime;
  }
  std::vector<std::string> axes{"tp", "cp", "ep", "dp", "pp"};
  std::ranges::shuffle(axes, random);
  grid.order.clear();
  for (const auto& axis : axes) grid.order += (grid.order.empty() ? "" : "-") + axis;
  return grid;
}

// A rule that cuts dimensions over the tensor and the expert axis, one of them fused, or none.
ShardingRule random_rule(Random& random, const Shape& shape) {
  ShardingRule rule{.keys = "*"};
  std::vector<std::size_t> dims(shape.size());
  std::iota(dims.begin(), dims.end(), std::size_t{0});
  std::ranges::shuffle(dims, random);
  for (const auto axis : {Axis::tensor, Axis::expert}) {
    if (dims.empty() || maybe(random, 3)) continue;
    DimensionCut cut{.dim = dims.back(), .axis = axis};
    dims.pop_back();
    if (cut.dim == 0 && shape[0] > 1 && maybe(random, 2)) {
      const auto first = pick(random, 1, shape[0] - 1);
      cut.fused_sizes = {first, shape[0] - first};
    }
    rule.cuts.push_back(std::move(cut));
  }
  return rule;
}

// The ranks of one group of peers or more.
std::vector<int> some_groups(Random& random, const ParallelGrid& grid) {
  std::set<int> chosen;
  std::vector<int> group_of;
  for (int rank = 0; rank < grid.world_size(); ++rank) {
    group_of.push_back(grid.group_number(rank, {Axis::tensor, Axis::context, Axis::data}));
  }
  const auto all = maybe(random, 2);
  for (const int group : group_of) {
    if (all || maybe(random, 3)) chosen.insert(group);
  }
  if (chosen.empty()) chosen.insert(group_of[pick(random, 0, group_of.size() - 1)]);
  std::vector<int> ranks;
  for (int rank = 0; rank < grid.world_size(); ++rank) {
    if (chosen.contains(group_of[narrow<std::size_t>(rank)])) ranks.push_back(rank);
  }
  return ranks;
}

// The same range in other words, now and then.
Shard said_otherwise(Random& random, const Shard& shard, const Shape& shape) {
  if (shard.kind() != Shard::Kind::block || maybe(random, 2)) return shard;
  const auto range = contiguous_range(shard, shape);
  return range ? Shard::flat(range->first, range->count) : shard;
}

}  // namespace

std::vector<TensorDescription> random_tensors(Random& random, std::uint64_t most) {
  std::vector<TensorDescription> tensors;
  const auto count = pick(random, 1, most);
  for (std::uint64_t i = 0; i < count; ++i) {
    Shape shape;
    constexpr std::array<std::uint64_t, 9> kDims{0, 1, 1, 2, 2, 2, 3, 3, 4};
    const auto dims = kDims.at(pick(random, 0, kDims.size() - 1));
    const std::uint64_t largest = dims <= 1 ? 60 : dims == 2 ? 16 : dims == 3 ? 7 : 4;
    for (std::uint64_t dim = 0; dim < dims; ++dim) {
      shape.push_back(maybe(random, 40) ? 0 : pick(random, 1, largest));
    }
    const auto* section = maybe(random, 2) ? "/model/" : "/optimizer/";
    tensors.push_back({section + std::to_string(i), random_dtype(random), std::move(shape)});
  }
  return tensors;
}

RandomJob random_job(Random& random, const std::vector<TensorDescription>& tensors) {
  RandomJob job;
  job.ranks = narrow<int>(pick_many(random, 1, kMostRanks));
  job.grid = random_grid(random, job.ranks);
  const ParallelGrid grid(job.grid, job.ranks);
  job.held.resize(narrow<std::size_t>(job.ranks));
  const auto add = [&](int rank, const TensorDescription& tensor, Shard shard) {
    const bool is_nothing = shard.kind() == Shard::Kind::blocks && shard.boxes().empty();
    if (is_nothing) return;
    job.held[narrow<std::size_t>(rank)].push_back({tensor, std::move(shard)});
  };
  for (const auto& tensor : tensors) {
    const auto& shape = tensor.shape;
    const auto kind = random() % 4;
    if (kind == 0) {
      for (const int rank : some_groups(random, grid)) add(rank, tensor, Shard::whole());
    } else if (kind == 1) {
      const auto rule = random_rule(random, shape);
      for (int rank = 0; rank < job.ranks; ++rank) {
        add(rank, tensor, shard_of({rule}, tensor.path, shape, grid, rank));
      }
    } else {
      // Any ranks, each in a group with others that hold the same.
      std::vector<int> ranks(narrow<std::size_t>(job.ranks));
      std::iota(ranks.begin(), ranks.end(), 0);
      std::ranges::shuffle(ranks, random);
      ranks.resize(pick_many(random, 1, ranks.size()));
      const auto parts = narrow<int>(pick_many(random, 1, ranks.size()));
      const auto shards = parts_of(random, shape, parts);
      for (std::size_t i = 0; i < ranks.size(); ++i) {
        const auto part = i < shards.size() ? i : pick(random, 0, shards.size() - 1);
        add(ranks[i], tensor, said_otherwise(random, shards[part], shape));
      }
    }
  }
  for (auto& held : job.held) std::ranges::shuffle(held, random);
  return job;
}

HeldByRanks random_wishes(Random& random, const std::vector<TensorDescription>& tensors) {
  HeldByRanks all_requests(pick(random, 1, kMostRanks));
  for (auto& rank_requests : all_requests) {
    for (const auto& tensor : tensors) {
      if (maybe(random, 3)) continue;
      rank_requests.push_back({tensor, random_part(random, tensor.shape)});
    }
  }
  return all_requests;
}

}  // namespace muster::test
