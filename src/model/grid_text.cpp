#include "model/grid_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <muster/error.hpp>
#include <set>
#include <string>
#include <utility>

namespace muster {

Grid parse_grid(std::string_view text) {
  const auto refuse = [whole = text](std::string_view item, std::string_view why) {
    throw Error(ErrorKind::usage, fmt::format("'{}' is no grid like tp=8,pp=16,dp=128: '{}' {}", whole, item, why));
  };
  Grid grid;
  const std::array<std::pair<Axis, int*>, kAxes> degrees{{{Axis::tensor, &grid.tensor},
                                                          {Axis::context, &grid.context},
                                                          {Axis::expert, &grid.expert},
                                                          {Axis::data, &grid.data},
                                                          {Axis::pipeline, &grid.pipeline}}};
  std::set<Axis> given;
  while (!text.empty()) {
    const auto item = text.substr(0, text.find(','));
    text.remove_prefix(item.size());
    if (!text.empty()) text.remove_prefix(1);
    if (item.size() < 3 || item[2] != '=') refuse(item, "is not an axis and its degree");
    const auto known =
        std::ranges::find_if(degrees, [&](const auto& entry) { return name(entry.first) == item.substr(0, 2); });
    if (known == degrees.end()) refuse(item, "is along none of tp, cp, ep, dp and pp");
    if (!given.insert(known->first).second) refuse(item, "is one degree too many along that axis");
    auto& degree = *known->second;
    const auto [end, error] = std::from_chars(item.data() + 3, item.data() + item.size(), degree);
    if (error != std::errc() || end != item.data() + item.size() || degree < 1) {
      refuse(item, "has no degree from 1 on");
    }
  }
  return grid;
}

}  // namespace muster
