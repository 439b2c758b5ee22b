#pragma once
// What memcpy reaches on this rank, to compare staging with.

#include "engine/staging_pool.hpp"

namespace muster::engine {

// In bytes a second. Takes two buffers of the pool, which are there for the next save then. Throws std::bad_alloc.
double memcpy_bytes_per_s(StagingPool& pool);

}  // namespace muster::engine
