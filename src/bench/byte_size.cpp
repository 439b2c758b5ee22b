#include "bench/byte_size.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <muster/error.hpp>
#include <string>
#include <utility>

namespace muster::bench {

std::uint64_t parse_bytes(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 10> kUnits{{{"", 1.0},
                                                                        {"B", 1.0},
                                                                        {"KiB", 1024.0},
                                                                        {"MiB", 1048576.0},
                                                                        {"GiB", 1073741824.0},
                                                                        {"TiB", 1099511627776.0},
                                                                        {"kB", 1e3},
                                                                        {"MB", 1e6},
                                                                        {"GB", 1e9},
                                                                        {"TB", 1e12}}};
  constexpr double kMaxBytes = 1e18;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc()) {
    auto unit = text.substr(static_cast<std::size_t>(end - text.data()));
    if (unit.starts_with(' ')) unit.remove_prefix(1);
    const auto* found =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& entry) { return entry.first == unit; });
    if (found != kUnits.end()) {
      const double bytes = std::round(number * found->second);
      if (bytes >= 1 && bytes <= kMaxBytes) return static_cast<std::uint64_t>(bytes);
    }
  }
  throw Error(ErrorKind::usage, "'" + std::string(text) + "' is no size; write 256MiB, 2GiB or a number of bytes");
}

}  // namespace muster::bench
