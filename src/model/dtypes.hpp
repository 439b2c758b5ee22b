#pragma once
// The list of all dtypes of numbers.

#include <array>
#include <cstddef>
#include <muster/state.hpp>

namespace muster {

// In the order of their values, which begin at 0 and leave none out but DType::text at the end.
inline constexpr auto kAllDTypes = [] {
  std::array<DType, static_cast<std::size_t>(DType::float8_e8m0fnu) + 1> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<DType>(i);
  return all;
}();

}  // namespace muster
