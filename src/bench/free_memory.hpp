#pragma once
// The kernel's free memory, as what is measured next will find it. Local.

#include <cstdint>

namespace muster::bench {

// Takes so much memory from the kernel, touches it and gives it back, so that the next to ask for memory (a page cache
// above all) gets pages that were in use just now. Virtual machines return free memory to their host, and its next
// touch is up to ten times slower: without this, whoever comes first after a pause would pay for all. Takes no more
// than a quarter of what is available.
void touch_free_memory(std::uint64_t bytes);

}  // namespace muster::bench
