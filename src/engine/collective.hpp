#pragma once
// The engine that writes through parallel HDF5: MPI-IO driver, collective transfers.

#include <memory>

#include "engine/engine.hpp"

namespace muster::engine {

// For each dataset in file order, in rounds: the k-th extent of every writer goes out in the k-th H5Dwrite, in which
// all ranks take part (with an empty selection where they have nothing). Extents are at most 16 MiB, so no transfer
// comes near the 2 GiB at which MPI-IO has had bugs.
std::unique_ptr<Engine> make_collective_engine();

}  // namespace muster::engine
