#pragma once
// Small exchanges between ranks around a measurement. All collective.

#include <nlohmann/json.hpp>

#include "mpi/comm.hpp"

namespace muster::bench {

// The largest of the ranks' values, on every rank.
double max_over_ranks(const mpi::CommView& comm, double value);

// On rank 0 the largest of the ranks' values of each name, also within objects. A name that a rank lacks does not
// count.
nlohmann::json max_over_ranks(const mpi::CommView& comm, const nlohmann::json& values);

// Rank 0's value on every rank.
nlohmann::json broadcast_json(const mpi::CommView& comm, const nlohmann::json& value);

// Waits for all ranks and leaves the cores alone meanwhile: for waits during which something else is measured.
void quiet_barrier(const mpi::CommView& comm);

}  // namespace muster::bench
