#include "plan/read_plan.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <optional>

#include "base/narrow.hpp"
#include "model/layout.hpp"
#include "plan/rank_set_unions.hpp"

namespace muster::plan {

namespace {

// The extents [first, last) of the layout.
struct Run {
  std::size_t first = 0;
  std::size_t last = 0;
};

// Where the extents that a group of ranks requests begin or end.
struct Boundary {
  std::uint32_t extent = 0;
  std::uint32_t rank_requests = 0;
};

std::vector<Run> extents_of_tensors(const Layout& layout) {
  std::vector<Run> runs(layout.tensors.size());
  for (std::size_t i = 0; i < layout.extents.size(); ++i) {
    auto& [first, last] = runs[layout.extents[i].tensor];
    if (last == 0) first = i;
    last = i + 1;
  }
  return runs;
}

// The runs of extents that the requests touch, in order; no two are adjacent.
std::vector<Run> touched_by(const RankRequests& rank_requests, const Layout& layout,
                            const std::vector<Run>& extents_of) {
  std::vector<Run> touched;
  for (const auto& request : rank_requests.requests) {
    const auto begin = layout.tensors[request.tensor].offset + request.offset;
    const auto end = begin + request.bytes;
    const auto at = [&](std::size_t i) { return layout.extents.begin() + static_cast<std::ptrdiff_t>(i); };
    const auto [low, high] = extents_of[request.tensor];
    const auto first = std::partition_point(at(low), at(high), [&](const auto& e) { return e.end() <= begin; });
    const auto last = std::partition_point(first, at(high), [&](const auto& e) { return e.offset < end; });
    if (first == last || request.bytes == 0) continue;
    touched.push_back({static_cast<std::size_t>(first - at(0)), static_cast<std::size_t>(last - at(0))});
  }
  std::sort(touched.begin(), touched.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::size_t runs = 0;
  for (const auto& run : touched) {
    if (runs > 0 && run.first <= touched[runs - 1].last) {
      touched[runs - 1].last = std::max(touched[runs - 1].last, run.last);
    } else {
      touched[runs++] = run;
    }
  }
  touched.resize(runs);
  return touched;
}

// By extent, then by group of ranks.
std::vector<Boundary> boundaries_of(const Layout& layout, const std::vector<RankRequests>& all_requests) {
  const auto extents_of = extents_of_tensors(layout);
  std::vector<Boundary> boundaries;
  for (std::uint32_t rank_requests = 0; rank_requests < all_requests.size(); ++rank_requests) {
    for (const auto& run : touched_by(all_requests[rank_requests], layout, extents_of)) {
      boundaries.push_back({narrow<std::uint32_t>(run.first), rank_requests});
      boundaries.push_back({narrow<std::uint32_t>(run.last), rank_requests});
    }
  }
  // A counting sort by extent: there are millions of boundaries, and as many extents.
  std::vector<std::size_t> place(layout.extents.size() + 2, 0);
  for (const auto& boundary : boundaries) ++place[boundary.extent + std::size_t{1}];
  std::partial_sum(place.begin(), place.end(), place.begin());
  std::vector<Boundary> sorted(boundaries.size());
  for (const auto& boundary : boundaries) sorted[place[boundary.extent]++] = boundary;
  return sorted;
}

// Units without readers, and for each the number of the set of ranks that want it.
struct Cut {
  std::vector<ReadUnit> units;
  std::vector<std::uint32_t> set_of;
  std::vector<RankSet> sets;
};

Cut cut_into_units(const Layout& layout, const std::vector<RankRequests>& all_requests) {
  const auto boundaries = boundaries_of(layout, all_requests);
  std::vector<const RankSet*> ranks;
  for (const auto& rank_requests : all_requests) ranks.push_back(&rank_requests.ranks);
  RankSetUnions unions(std::move(ranks));
  Cut cut;
  std::vector<std::uint32_t> wanting;  // groups of ranks that request the extents up to the next boundary
  std::vector<std::uint32_t> changed;
  std::vector<std::uint32_t> before;
  for (auto boundary = boundaries.begin(); boundary != boundaries.end();) {
    const std::size_t first = boundary->extent;
    changed.clear();
    for (; boundary != boundaries.end() && boundary->extent == first; ++boundary)
      changed.push_back(boundary->rank_requests);
    before.swap(wanting);
    wanting.clear();
    std::set_symmetric_difference(before.begin(), before.end(), changed.begin(), changed.end(),
                                  std::back_inserter(wanting));
    if (wanting.empty()) continue;
    const auto set = unions.id_of(wanting);
    for (auto i = first; i < boundary->extent; ++i) {
      const auto& extent = layout.extents[i];
      if (!cut.units.empty() && cut.set_of.back() == set) {
        auto& unit = cut.units.back();
        if (unit.first_extent + unit.extents == i && extent.end() - unit.offset <= kMaxExtentBytes) {
          ++unit.extents;
          unit.bytes = extent.end() - unit.offset;
          continue;
        }
      }
      cut.units.push_back({{extent, narrow<std::uint32_t>(i), 1}});
      cut.set_of.push_back(set);
    }
  }
  cut.sets = unions.take();
  return cut;
}

// The least loaded of some ranks. Their loads grow behind its back too, for ranks of other sets: an entry that says too
// little is put right when it comes to the top.
class LeastLoaded {
 public:
  LeastLoaded(const RankSet& ranks, const std::vector<std::uint64_t>& load) {
    for (const int rank : ranks) heap_.emplace_back(load[static_cast<std::size_t>(rank)], rank);
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  int pick(const std::vector<std::uint64_t>& load) {
    for (;;) {
      const auto [known, rank] = heap_.front();
      const auto now = load[static_cast<std::size_t>(rank)];
      if (known == now) return rank;
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.back().first = now;
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
  }

 private:
  std::vector<std::pair<std::uint64_t, int>> heap_;
};

RankSet common(const RankSet& a, const RankSet& b) {
  RankSet both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

void share_out(Cut& cut, const RankSet& readers) {
  // Which readers may read the units of each set: those that want them, or any.
  std::vector<RankSet> choice;
  for (const auto& ranks : cut.sets) {
    auto& may = choice.emplace_back(common(ranks, readers));
    if (may.empty()) may = readers;
  }
  std::vector<std::size_t> order(cut.units.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return choice[cut.set_of[a]].size() < choice[cut.set_of[b]].size(); });
  std::vector<std::uint64_t> load(narrow<std::size_t>(readers.back()) + 1, 0);
  std::vector<std::optional<LeastLoaded>> least(cut.sets.size());
  for (const auto i : order) {
    const auto set = cut.set_of[i];
    if (!least[set]) least[set].emplace(choice[set], load);
    auto& unit = cut.units[i];
    unit.reader = least[set]->pick(load);
    load[static_cast<std::size_t>(unit.reader)] += unit.bytes;
  }
}

}  // namespace

void append_touched(const Layout& layout, std::uint32_t tensor, const ShardMap& shard,
                    std::vector<ReadRequest>& requests) {
  const auto& stored = layout.tensors[tensor];
  const auto in_file_of = [&](const Extent& extent) { return extent.offset - stored.offset; };
  const auto low = std::ranges::lower_bound(layout.extents, stored.offset, {}, &Extent::offset);
  const auto high = std::ranges::lower_bound(low, layout.extents.end(), stored.end(), {}, &Extent::offset);
  std::vector<ReadRequest> touched;
  shard.visit_some_runs([&](const ShardRun& run) {
    const auto first =
        std::partition_point(low, high, [&](const auto& e) { return in_file_of(e) + e.bytes <= run.in_file; });
    const auto last =
        std::partition_point(first, high, [&](const auto& e) { return in_file_of(e) < run.in_file + run.bytes; });
    if (first == last) return stored.bytes;
    const auto end = in_file_of(*(last - 1)) + (last - 1)->bytes;
    touched.push_back({{in_file_of(*first), end - in_file_of(*first)}, tensor});
    return end;
  });
  std::ranges::sort(touched, {}, &ReadRequest::offset);
  const auto before = requests.size();
  for (const auto& request : touched) {
    if (requests.size() > before && requests.back().end() >= request.offset) {
      auto& joined = requests.back();
      joined.bytes = std::max(joined.end(), request.end()) - joined.offset;
    } else {
      requests.push_back(request);
    }
  }
}

void append_requests(const Layout& layout, std::uint32_t tensor, const Shard& shard,
                     std::vector<ReadRequest>& requests) {
  const auto& stored = layout.tensors[tensor];
  const auto range = contiguous_range(shard, stored.shape);
  if (range && range->count == 0) return;
  if (range && stored.chunk_shape.empty()) {
    const auto item = item_bytes(stored.dtype);
    requests.push_back({{range->first * item, range->count * item}, tensor});
  } else {
    const ShardMap map(StorageOrder(stored.shape, stored.chunk_shape), shard, stored.dtype);
    append_touched(layout, tensor, map, requests);
  }
}

std::vector<ReadUnit> plan_reads(const Layout& layout, const std::vector<RankRequests>& all_requests,
                                 const RankSet& readers) {
  auto cut = cut_into_units(layout, all_requests);
  share_out(cut, readers);
  const std::vector<SharedRanks> sets(std::make_move_iterator(cut.sets.begin()),
                                      std::make_move_iterator(cut.sets.end()));
  for (std::size_t i = 0; i < cut.units.size(); ++i) cut.units[i].wanted_by = sets[cut.set_of[i]];
  return std::move(cut.units);
}

}  // namespace muster::plan
