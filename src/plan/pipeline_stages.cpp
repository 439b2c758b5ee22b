#include "plan/pipeline_stages.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace muster::plan {

std::optional<std::uint64_t> layer_of(std::string_view key) {
  while (!key.empty()) {
    const auto part = key.substr(0, key.find('.'));
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (error == std::errc() && end == part.data() + part.size()) return number;
    key.remove_prefix(std::min(key.size(), part.size() + 1));
  }
  return std::nullopt;
}

PipelineStages::PipelineStages(const std::vector<std::string>& keys, int stages, std::vector<std::string> first_stage)
    : stages_(stages), first_stage_(std::move(first_stage)) {
  for (const auto& key : keys) {
    if (const auto layer = layer_of(key)) layers_ = std::max(layers_, *layer + 1);
  }
}

int PipelineStages::stage_of(std::string_view key) const {
  if (const auto layer = layer_of(key)) {
    // As doubles would round; the numbers of layers are small, but nothing says so.
    __extension__ using Wide = unsigned __int128;
    return static_cast<int>(Wide{*layer} * static_cast<unsigned>(stages_) / layers_);
  }
  const std::string text(key);
  const bool is_first = std::ranges::any_of(
      first_stage_, [&](const auto& pattern) { return fnmatch(pattern.c_str(), text.c_str(), 0) == 0; });
  return is_first ? 0 : stages_ - 1;
}

}  // namespace muster::plan
