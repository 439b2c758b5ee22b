#pragma once
// Integer conversions that throw instead of losing bits.

#include <concepts>
#include <muster/error.hpp>
#include <string>
#include <utility>

namespace muster {

template <std::integral To, std::integral From>
To narrow(From value) {
  if (!std::in_range<To>(value)) {
    throw Error(ErrorKind::internal, "number out of range: " + std::to_string(value));
  }
  return static_cast<To>(value);
}

// The smallest multiple of `alignment` (a power of two) that is >= value.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace muster
