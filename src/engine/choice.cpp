#include "engine/choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <muster/error.hpp>
#include <string_view>

#include "mpi/mpi_version.hpp"

namespace muster::engine {

namespace {

// Caches of several nodes agree on every byte (POSIX semantics across the cluster). BeeGFS does so in one of its cache
// modes only.
constexpr std::array<std::string_view, 3> kCoherent{"lustre", "gpfs", "ceph"};
// A node's own: what several nodes see under one path there is not one directory, and ranks find that out when they
// open the part.
constexpr std::array<std::string_view, 7> kLocal{"ext4", "xfs", "btrfs", "tmpfs", "zfs", "f2fs", "overlay"};

}  // namespace

ChosenEngine choose_engine(EngineChoice asked, const std::string& file_system, int nodes,
                           const std::string& mpi_library) {
  const bool is_unsafe = mpi::corrupts_parallel_hdf5(mpi_library);
  if (asked == EngineChoice::collective && is_unsafe) {
    throw Error(
        ErrorKind::usage,
        fmt::format("engine collective: the MPI-IO of {} corrupts what parallel HDF5 writes (open-mpi/ompi pull "
                    "request 12759); use Open MPI 5.0.6 or later, or the engine direct",
                    mpi_library));
  }
  if (asked != EngineChoice::automatic) return {asked, "asked for"};
  if (nodes == 1) {
    return {EngineChoice::direct, fmt::format("auto: one node, whose ranks share one page cache, on {}", file_system)};
  }
  if (std::ranges::count(kCoherent, file_system) > 0) {
    return {EngineChoice::direct, fmt::format("auto: {} keeps what {} nodes write coherent", file_system, nodes)};
  }
  if (std::ranges::count(kLocal, file_system) > 0) {
    return {EngineChoice::direct, fmt::format("auto: {} is a file system of one node", file_system)};
  }
  if (is_unsafe) {
    return {
        EngineChoice::direct,
        fmt::format("auto: {} is not known to keep what {} nodes write coherent, but {} corrupts what parallel HDF5 "
                    "writes; use Open MPI 5.0.6 or later",
                    file_system, nodes, mpi_library)};
  }
  return {EngineChoice::collective,
          fmt::format("auto: {} is not known to keep what {} nodes write coherent", file_system, nodes)};
}

}  // namespace muster::engine
