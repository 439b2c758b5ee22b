#pragma once
// Sizes as people write them. Pure.

#include <cstdint>
#include <string_view>

namespace muster::bench {

// "2GiB", "1.5 MiB", "100MB", "4096": 1 byte or more. Throws Error{usage} for anything else.
std::uint64_t parse_bytes(std::string_view text);

}  // namespace muster::bench
