#pragma once
// What one rank says it holds: checked, packed to travel, fingerprinted. Pure functions.

#include <cstdint>
#include <muster/state.hpp>
#include <vector>

#include "base/bytes.hpp"

namespace muster::plan {

// Throws Error{usage} listing everything that is wrong with this rank's state: a path twice or reserved, a path that
// another one needs as a group, a path or a shape that HDF5 cannot hold, a shard outside its shape, memory that is not
// there.
void check_state(const State& state);

// The descriptions sorted by path, cut in two: tensors held whole (the same on all replicas, so that one copy a job
// travels) and parts.
struct Described {
  std::vector<ShardDescription> whole;
  std::vector<ShardDescription> parts;
};
Described describe(const State& state);

Bytes pack(const std::vector<ShardDescription>& descriptions);
std::vector<ShardDescription> unpack(std::span<const std::byte> bytes);

// Packed descriptions to be exchanged: tensors held whole, then parts by the first key of their path (/model,
// /optimizer,
// ...). If ranks hold the same model but each its own part of the optimizer, the string of the model is the same on all
// of them and travels once. Each string is for unpack(); none for no tensors.
std::vector<Bytes> pack_for_exchange(const Described& described);

}  // namespace muster::plan
