#pragma once
// What a benchmark ran on. Local.

#include <filesystem>
#include <nlohmann/json.hpp>

namespace muster::bench {

// Cores, memory, processor, kernel, and the type of the file system of `directory`.
nlohmann::json describe_machine(const std::filesystem::path& directory);

// Of muster, HDF5, MPI and the compiler. MPI must be initialised.
nlohmann::json describe_versions();

}  // namespace muster::bench
