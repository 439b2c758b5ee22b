#pragma once
// Which engine writes. Pure.

#include <muster/checkpoint.hpp>
#include <string>

namespace muster::engine {

struct Choice {
  EngineChoice engine = EngineChoice::direct;  // never automatic
  std::string reason;                          // for people; goes into the file
};

// `asked` where it names an engine; else by the file system of the directory and the number of nodes that write there:
// ranks of one node share a page cache, and some file systems keep those of several nodes coherent; on the others,
// MPI-IO decides who writes. docs/guide/tuning.md has the table. `mpi_library`: mpi::library_version(); with one whose
// MPI-IO corrupts files, `collective` is never chosen, and Error{usage} where it is asked for.
Choice choose_engine(EngineChoice asked, const std::string& file_system, int nodes, const std::string& mpi_library);

}  // namespace muster::engine
