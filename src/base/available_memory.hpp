#pragma once
// How much memory this process's node has left for it.

#include <cstdint>
#include <optional>

namespace muster {

// Bytes that could be used without swapping, of the node or of this process's control group (v2), whichever is less;
// nothing where the system does not say.
std::optional<std::uint64_t> available_memory_bytes();

}  // namespace muster
