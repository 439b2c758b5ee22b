#pragma once
// Whether a state is laid out as the one before. Pure.

#include <cstdint>
#include <muster/state.hpp>

namespace muster::plan {

// A hash of all that a plan depends on of one rank's state: every tensor's path, dtype, global shape and shard, and
// every document's path, in the order given. Equal for equal descriptions; without copies, so that a repeated save
// costs next to nothing.
std::uint64_t fingerprint(const State& state);

}  // namespace muster::plan
