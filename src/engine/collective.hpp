#pragma once
// The engine that writes through parallel HDF5 and its MPI-IO driver.

#include <memory>

#include "engine/engine.hpp"

namespace muster::engine {

// A dataset that several ranks write goes out in rounds of collective transfers: the k-th extent of every writer in the
// k-th H5Dwrite, in which all ranks take part (with an empty selection where they have nothing). One that has a single
// writer, most of them where layout order is writer order, that rank opens and writes alone: in a collective transfer
// all others would wait for it. Extents are at most 16 MiB, so no transfer comes near the 2 GiB at which MPI-IO has had
// bugs.
std::unique_ptr<Engine> make_collective_engine();

}  // namespace muster::engine
