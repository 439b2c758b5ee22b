#include "engine/extent_runs.hpp"

namespace muster::engine {

std::vector<ExtentRun> extent_runs(const Layout& layout, int writer) {
  std::vector<ExtentRun> runs;
  for (std::uint32_t i = 0; i < layout.extents.size(); ++i) {
    const auto& extent = layout.extents[i];
    if (extent.writer != writer) continue;
    if (runs.empty() || runs.back().first_extent + runs.back().extents != i) runs.push_back({{extent.offset, 0}, i, 0});
    auto& run = runs.back();
    ++run.extents;
    run.bytes = extent.end() - run.offset;
  }
  return runs;
}

}  // namespace muster::engine
