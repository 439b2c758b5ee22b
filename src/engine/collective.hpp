#pragma once
// The engine that writes through parallel HDF5 and its MPI-IO driver.

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "engine/shard_bytes.hpp"
#include "engine/write_result.hpp"
#include "model/layout.hpp"
#include "mpi/comm.hpp"

namespace muster::engine {

// A part file in its full size that holds its head, as every rank sees it. What it refers to outlives the write.
struct Part {
  const mpi::CommView& comm;
  const std::filesystem::path& path;
  const Layout* layout;
  const std::map<std::string, std::string>& hints;  // for MPI-IO
};

// One part file that all ranks have opened. Every call is made on all ranks. A rank on which something local fails
// takes part in all transfers that the others wait for, and then throws.
class CollectiveWrite {
 public:
  virtual ~CollectiveWrite() = default;
  // Writes the extents of the layout whose writer this rank is.
  virtual WriteResult write(const LocalShards& shards) = 0;
  // Makes them durable, as far as this rank's node holds them, and closes the file.
  virtual void sync() = 0;
};

// Collective over part.comm. A dataset that several ranks write is written in rounds of collective transfers: the k-th
// extent of every writer in the k-th H5Dwrite, in which all ranks take part (with an empty selection if they have
// nothing). A dataset that has a single writer, most of them if the order of the layout is the order of the writers, is
// opened and written by that rank alone: in a collective transfer all others would wait for it. Extents are at most
// 16 MiB, so no transfer comes near the 2 GiB at which MPI-IO has had bugs.
std::unique_ptr<CollectiveWrite> open_collective_write(const Part& part);

}  // namespace muster::engine
