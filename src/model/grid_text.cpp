#include "model/grid_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <muster/error.hpp>
#include <set>
#include <string>
#include <utility>

namespace muster {

Grid parse_grid(std::string_view text) {
  const auto refuse = [whole = std::string(text)] {
    throw Error(ErrorKind::usage, "'" + whole + "' is no grid: it must look like tp=8,pp=16,dp=128");
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
    if (item.size() < 4 || item[2] != '=') refuse();
    const auto known =
        std::ranges::find_if(degrees, [&](const auto& entry) { return name(entry.first) == item.substr(0, 2); });
    if (known == degrees.end() || !given.insert(known->first).second) refuse();
    auto& degree = *known->second;
    const auto [end, error] = std::from_chars(item.data() + 3, item.data() + item.size(), degree);
    if (error != std::errc() || end != item.data() + item.size() || degree < 1) refuse();
  }
  return grid;
}

}  // namespace muster
