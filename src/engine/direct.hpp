#pragma once
// The engine that writes at the speed of the device: every rank its own extents, straight into the placements that HDF5
// gave them, and no rank waits for another.

#include <memory>

#include "engine/engine.hpp"
#include "engine/staging_arena.hpp"

namespace muster::engine {

struct DirectOptions {
  // Staging memory of a rank: while one buffer is filled the others are written.
  int buffers = 2;
  std::uint64_t buffer_bytes = std::uint64_t{16} << 20;  // a multiple of 64 KiB
  int writer_threads = 1;
  // Off for one purpose only: to measure what hashing costs. The file then fails verification.
  bool hash = true;
};

// Copies and hashes this rank's extents into a staging buffer while a thread writes the one before (O_DIRECT where the
// file system takes it). Extents side by side go out together. Makes no MPI and no HDF5 call at all.
// The arena outlives the engine.
std::unique_ptr<Engine> make_direct_engine(StagingArena& arena, const DirectOptions& options = {});

}  // namespace muster::engine
