#include "plan/read_plan.hpp"

#include <algorithm>
#include <map>

#include "base/narrow.hpp"
#include "model/layout.hpp"

namespace muster::plan {

namespace {

// For each extent, which wishes (as a sorted list of indices) touch it.
std::vector<std::vector<std::uint32_t>> wishes_of_extents(const Catalog& catalog, const std::vector<Wish>& wishes) {
  std::vector<std::pair<std::size_t, std::size_t>> extents_of(catalog.tensors.size(), {0, 0});
  for (std::size_t i = 0; i < catalog.extents.size(); ++i) {
    auto& [first, last] = extents_of[catalog.extents[i].tensor];
    if (last == 0) first = i;
    last = i + 1;
  }
  std::vector<std::vector<std::uint32_t>> touched(catalog.extents.size());
  for (std::size_t w = 0; w < wishes.size(); ++w) {
    for (const auto& want : wishes[w].wants) {
      const auto begin = catalog.tensors[want.tensor].offset + want.first_byte;
      const auto end = begin + want.bytes;
      const auto [first, last] = extents_of[want.tensor];
      for (std::size_t i = first; i < last; ++i) {
        const auto& extent = catalog.extents[i];
        if (extent.offset >= end || extent.offset + extent.bytes <= begin) continue;
        if (touched[i].empty() || touched[i].back() != w) touched[i].push_back(narrow<std::uint32_t>(w));
      }
    }
  }
  return touched;
}

RankSet ranks_of(const std::vector<std::uint32_t>& indices, const std::vector<Wish>& wishes) {
  RankSet ranks;
  for (const auto index : indices) {
    RankSet both;
    std::set_union(ranks.begin(), ranks.end(), wishes[index].ranks.begin(), wishes[index].ranks.end(),
                   std::back_inserter(both));
    ranks = std::move(both);
  }
  return ranks;
}

}  // namespace

std::vector<ReadUnit> plan_reads(const Catalog& catalog, const std::vector<Wish>& wishes, const RankSet& readers) {
  const auto touched = wishes_of_extents(catalog, wishes);
  std::map<std::vector<std::uint32_t>, RankSet> rank_sets;
  std::vector<ReadUnit> units;
  for (std::size_t i = 0; i < catalog.extents.size(); ++i) {
    if (touched[i].empty()) continue;
    const auto& extent = catalog.extents[i];
    const auto end = extent.offset + extent.bytes;
    if (!units.empty()) {
      auto& unit = units.back();
      const bool follows = unit.first_extent + unit.extents == i && touched[i] == touched[i - 1];
      if (follows && end - unit.offset <= kMaxExtentBytes) {
        ++unit.extents;
        unit.bytes = end - unit.offset;
        continue;
      }
    }
    auto [ranks, added] = rank_sets.try_emplace(touched[i]);
    if (added) ranks->second = ranks_of(touched[i], wishes);
    units.push_back({narrow<std::uint32_t>(i), 1, extent.offset, extent.bytes, 0, ranks->second});
  }
  // Where fewer units than readers times a few are left the last ones decide; in turn is even enough.
  for (std::size_t i = 0; i < units.size(); ++i) units[i].reader = readers[i % readers.size()];
  return units;
}

}  // namespace muster::plan
