#pragma once
// Payload from storage to the ranks that want it: read once, checked, handed on, in rounds of bounded memory.

#include <filesystem>
#include <vector>

#include "coord/target.hpp"
#include "coord/team.hpp"
#include "engine/staging_arena.hpp"
#include "model/catalog.hpp"
#include "mpi/comm.hpp"
#include "plan/read_plan.hpp"

namespace muster::coord {

// On this rank.
struct Moved {
  std::uint64_t read_bytes = 0;    // from storage
  std::uint64_t buffer_bytes = 0;  // of memory to read and receive into
};

// Collective. Every unit is read by its reader, its extents are hashed and compared with the catalog, and it goes to
// all ranks that want it. Throws CollectiveError{"read"} (corrupt, io) on all ranks; no byte of a damaged extent
// reaches a destination. Reads ahead, into the buffers that plan::Handover speaks of. Ranks of one node look into each
// other's where the system lets them, instead of sending.
Moved move_extents(const Team& team, const std::filesystem::path& file, const Catalog& catalog,
                   const std::vector<plan::ReadUnit>& units, const std::vector<Destination>& destinations,
                   engine::StagingArena& arena);

}  // namespace muster::coord
