#pragma once
// One rank's share of a background save.

#include "mpi/team.hpp"
#include "save/async_save.hpp"
#include "save/save_heartbeat.hpp"

namespace muster::save {

// Copies what this rank holds; afterwards the program may change its state. What fails comes out of write_rank().
void stage_rank(AsyncSave& save);

// On a thread of its own: makes durable what is staged, and waits for the end of staging. What fails is told in the
// save's report, which is ready for a Commit then.
void write_rank(AsyncSave& save, const mpi::Team& team, SaveHeartbeat& posts);

}  // namespace muster::save
