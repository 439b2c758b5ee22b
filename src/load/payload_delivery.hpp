#pragma once
// Payload from storage to the ranks that want it: read once, checked, handed on, in rounds of bounded memory.

#include <filesystem>
#include <vector>

#include "engine/staging_arena.hpp"
#include "load/comparison.hpp"
#include "model/catalog.hpp"
#include "mpi/comm.hpp"
#include "mpi/team.hpp"
#include "plan/read_plan.hpp"

namespace muster::load {

// On this rank.
struct Delivered {
  std::uint64_t read_bytes = 0;    // from storage
  std::uint64_t buffer_bytes = 0;  // of memory to read and receive into
};

// Collective. Every unit is read by its reader, its extents are hashed and compared with the catalog, and it goes to
// all ranks that want it. Throws CollectiveError{"read"} (corrupt, io) on all ranks; no byte of a damaged extent
// reaches a destination. Reads ahead, into the buffers that plan::Delivery speaks of. Ranks of one node look into each
// other's where the system lets them, instead of sending.
Delivered deliver_payload(const mpi::Team& team, const std::filesystem::path& file, const Catalog& catalog,
                          const std::vector<plan::ReadUnit>& units, const std::vector<Destination>& destinations,
                          engine::StagingArena& arena);

}  // namespace muster::load
