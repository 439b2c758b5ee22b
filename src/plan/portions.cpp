#include "plan/portions.hpp"

#include <algorithm>
#include <string_view>

namespace muster::plan {

namespace {

std::string_view section_of(const TensorDescription& description) {
  return std::string_view(description.path).substr(0, description.path.find('/', 1));
}

}  // namespace

std::vector<Bytes> pack_portions(const Described& described) {
  std::vector<Bytes> portions;
  if (!described.whole.empty()) portions.push_back(pack(described.whole));
  // By path, but for "/a!b", which sorts between "/a" and "/a/b": then a section comes in more than one portion.
  for (auto first = described.parts.begin(); first != described.parts.end();) {
    const auto last = std::find_if(first, described.parts.end(),
                                   [&](const auto& part) { return section_of(part) != section_of(*first); });
    portions.push_back(pack({first, last}));
    first = last;
  }
  return portions;
}

}  // namespace muster::plan
