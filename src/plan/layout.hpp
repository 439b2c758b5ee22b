#pragma once
// Where each shard lies in the file. Pure; HDF5's allocator is foretold, and the head builder checks that it agrees.

#include "model/layout.hpp"
#include "model/plan.hpp"

namespace muster::plan {

// Bytes for all HDF5 metadata of the layout's tables and tensors, a multiple of its alignment. An upper bound, from the
// sizes of the structures that HDF5 1.10 and later write in the 1.10 format.
std::uint64_t head_capacity_bytes(const Layout& layout);

Layout lay_out(WritePlan plan, std::uint64_t alignment_bytes);

// The first of the capacities 1024, 2048, 4096, ... that holds `bytes` with a terminating zero.
std::uint64_t document_capacity_bytes(std::uint64_t bytes);

}  // namespace muster::plan
