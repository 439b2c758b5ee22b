#pragma once
// A copy into memory that this core will not look at again: past its caches where the processor can, which spares the
// read of each line before it is overwritten.

#include <cstddef>
#include <span>

namespace muster {

// Same size both, not overlapping. Complete, for other threads too that learn of it by a lock, when it returns.
void streaming_copy(std::span<std::byte> to, std::span<const std::byte> from);

}  // namespace muster
