#pragma once
// Small exchanges between ranks around a measurement. All collective.

#include <nlohmann/json.hpp>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::bench {

// The largest of the ranks' values, on every rank.
double max_over_ranks(const mpi::CommView& comm, double value);

// Rank 0's value on every rank.
nlohmann::json broadcast_json(const mpi::CommView& comm, const nlohmann::json& value);

// Every rank's value, in rank order, on rank 0; empty elsewhere.
std::vector<nlohmann::json> gather_json(const mpi::CommView& comm, const nlohmann::json& value);

// Waits for all ranks and leaves the cores alone meanwhile: for waits during which something else is measured.
void quiet_barrier(const mpi::CommView& comm);

}  // namespace muster::bench
