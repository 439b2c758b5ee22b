#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <muster/state.hpp>

namespace muster {

std::uint64_t element_count(const Shape& shape) {
  constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 59;  // 16 bytes each stay below 2^63
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::uint64_t count = 1;
  for (const auto dim : shape) {
    if (dim > kMaxElements / count) throw Error(ErrorKind::usage, "shape " + to_string(shape) + " is too large");
    count *= dim;
  }
  return count;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace muster
