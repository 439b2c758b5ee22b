#pragma once
// One rank's part of a save: from the state to stable storage.

#include "mpi/team.hpp"
#include "save/save_heartbeat.hpp"
#include "save/save_job.hpp"

namespace muster::save {

// Local. Copies what this rank holds of a background save; afterwards the program may change its state. What fails is
// thrown by write_rank() on its thread.
void stage_rank(SaveJob& job);

// Local; calls neither MPI nor HDF5, so that a background thread can do it. Makes this rank's part durable with the
// engine `direct`, and waits for the end of staging. What fails is in job.rank_report, which is then ready for a
// Commit. With job.slots it waits for one of options.num_workers slots of the node first.
void write_rank(SaveJob& job, const mpi::Team& team, const store::Heartbeats& heartbeats, store::HeartbeatLane lane,
                SaveHeartbeat& heartbeat);

// Collective over team.comm. The same with the engine `collective`, whose ranks wait for each other. What fails is
// thrown on all ranks.
void write_collectively(SaveJob& job, const mpi::Team& team, SaveHeartbeat& heartbeat);

}  // namespace muster::save
