#include "plan/read_plan.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <optional>

#include "base/narrow.hpp"
#include "model/layout.hpp"
#include "plan/choirs.hpp"

namespace muster::plan {

namespace {

// The extents [first, last) of the catalog.
struct Run {
  std::size_t first = 0;
  std::size_t last = 0;
};

// A wish begins, or ends, to want the extents from here on.
struct Turn {
  std::uint32_t extent = 0;
  std::uint32_t wish = 0;
};

std::vector<Run> extents_of_tensors(const Catalog& catalog) {
  std::vector<Run> runs(catalog.tensors.size());
  for (std::size_t i = 0; i < catalog.extents.size(); ++i) {
    auto& [first, last] = runs[catalog.extents[i].tensor];
    if (last == 0) first = i;
    last = i + 1;
  }
  return runs;
}

// The runs of extents that a wish touches, none next to another, in order.
std::vector<Run> touched_by(const Wish& wish, const Catalog& catalog, const std::vector<Run>& extents_of) {
  std::vector<Run> touched;
  for (const auto& want : wish.wants) {
    const auto begin = catalog.tensors[want.tensor].offset + want.first_byte;
    const auto end = begin + want.bytes;
    const auto at = [&](std::size_t i) { return catalog.extents.begin() + static_cast<std::ptrdiff_t>(i); };
    const auto [low, high] = extents_of[want.tensor];
    const auto first =
        std::partition_point(at(low), at(high), [&](const auto& e) { return e.offset + e.bytes <= begin; });
    const auto last = std::partition_point(first, at(high), [&](const auto& e) { return e.offset < end; });
    if (first == last || want.bytes == 0) continue;
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

// By extent, then by wish.
std::vector<Turn> turns_of(const Catalog& catalog, const std::vector<Wish>& wishes) {
  const auto extents_of = extents_of_tensors(catalog);
  std::vector<Turn> turns;
  for (std::uint32_t wish = 0; wish < wishes.size(); ++wish) {
    for (const auto& run : touched_by(wishes[wish], catalog, extents_of)) {
      turns.push_back({narrow<std::uint32_t>(run.first), wish});
      turns.push_back({narrow<std::uint32_t>(run.last), wish});
    }
  }
  // They come by wish; there are millions, and as many extents.
  std::vector<std::size_t> place(catalog.extents.size() + 2, 0);
  for (const auto& turn : turns) ++place[turn.extent + std::size_t{1}];
  std::partial_sum(place.begin(), place.end(), place.begin());
  std::vector<Turn> sorted(turns.size());
  for (const auto& turn : turns) sorted[place[turn.extent]++] = turn;
  return sorted;
}

// Units without readers, and for each the number of the set of ranks that want it.
struct Cut {
  std::vector<ReadUnit> units;
  std::vector<std::uint32_t> set_of;
  std::vector<RankSet> sets;
};

Cut cut_into_units(const Catalog& catalog, const std::vector<Wish>& wishes) {
  const auto turns = turns_of(catalog, wishes);
  std::vector<const RankSet*> ranks;
  for (const auto& wish : wishes) ranks.push_back(&wish.ranks);
  Choirs choirs(std::move(ranks));
  Cut cut;
  std::vector<std::uint32_t> wanting;  // wishes that want the extents from `turn` to the next one
  std::vector<std::uint32_t> turning;
  std::vector<std::uint32_t> before;
  for (auto turn = turns.begin(); turn != turns.end();) {
    const std::size_t first = turn->extent;
    turning.clear();
    for (; turn != turns.end() && turn->extent == first; ++turn) turning.push_back(turn->wish);
    before.swap(wanting);
    wanting.clear();
    std::set_symmetric_difference(before.begin(), before.end(), turning.begin(), turning.end(),
                                  std::back_inserter(wanting));
    if (wanting.empty()) continue;
    const auto set = choirs.id_of(wanting);
    for (auto i = first; i < turn->extent; ++i) {
      const auto& extent = catalog.extents[i];
      const auto end = extent.offset + extent.bytes;
      if (!cut.units.empty() && cut.set_of.back() == set) {
        auto& unit = cut.units.back();
        if (unit.first_extent + unit.extents == i && end - unit.offset <= kMaxExtentBytes) {
          ++unit.extents;
          unit.bytes = end - unit.offset;
          continue;
        }
      }
      cut.units.push_back({narrow<std::uint32_t>(i), 1, extent.offset, extent.bytes, 0, {}});
      cut.set_of.push_back(set);
    }
  }
  cut.sets = choirs.take();
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

void append_touched(const Catalog& catalog, std::uint32_t tensor, const ShardMap& shard, std::vector<Want>& wants) {
  const auto& [path, dtype, shape, bytes, offset, tile] = catalog.tensors[tensor];
  const auto in_file_of = [start = offset](const CatalogExtent& extent) { return extent.offset - start; };
  const auto low = std::ranges::lower_bound(catalog.extents, offset, {}, &CatalogExtent::offset);
  const auto high = std::ranges::lower_bound(low, catalog.extents.end(), offset + bytes, {}, &CatalogExtent::offset);
  std::vector<Want> touched;
  shard.visit_some_runs([&, all = bytes](const ShardRun& run) {
    const auto first =
        std::partition_point(low, high, [&](const auto& e) { return in_file_of(e) + e.bytes <= run.in_file; });
    const auto last =
        std::partition_point(first, high, [&](const auto& e) { return in_file_of(e) < run.in_file + run.bytes; });
    if (first == last) return all;
    const auto end = in_file_of(*(last - 1)) + (last - 1)->bytes;
    touched.push_back({tensor, in_file_of(*first), end - in_file_of(*first)});
    return end;
  });
  std::ranges::sort(touched, {}, &Want::first_byte);
  const auto before = wants.size();
  for (const auto& want : touched) {
    if (wants.size() > before && wants.back().first_byte + wants.back().bytes >= want.first_byte) {
      auto& joined = wants.back();
      joined.bytes = std::max(joined.bytes, want.first_byte + want.bytes - joined.first_byte);
    } else {
      wants.push_back(want);
    }
  }
}

void append_wants(const Catalog& catalog, std::uint32_t tensor, const Shard& shard, std::vector<Want>& wants) {
  const auto& [path, dtype, shape, bytes, offset, tile] = catalog.tensors[tensor];
  const auto range = contiguous_range(shard, shape);
  if (range && range->count == 0) return;
  if (range && tile.empty()) {
    const auto item = item_bytes(dtype);
    wants.push_back({tensor, range->first * item, range->count * item});
  } else {
    append_touched(catalog, tensor, ShardMap(StorageOrder(shape, tile), shard, dtype), wants);
  }
}

std::vector<ReadUnit> plan_reads(const Catalog& catalog, const std::vector<Wish>& wishes, const RankSet& readers) {
  auto cut = cut_into_units(catalog, wishes);
  share_out(cut, readers);
  const std::vector<SharedRanks> sets(std::make_move_iterator(cut.sets.begin()),
                                      std::make_move_iterator(cut.sets.end()));
  for (std::size_t i = 0; i < cut.units.size(); ++i) cut.units[i].wanted_by = sets[cut.set_of[i]];
  return std::move(cut.units);
}

}  // namespace muster::plan
