#pragma once
// Workloads as JSON: a list of {"path", "dtype", "shape"}.

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/workload.hpp"

namespace muster::bench {

// Pure. Throws Error{usage} that names the entry and what is wrong with it.
Workload workload_from_json(const std::string& name, const nlohmann::json& list);
// Reads a file. Throws Error{usage} where it is not JSON, Error{not_found} or {io} where it cannot be read.
Workload read_workload(const std::filesystem::path& file);
// Pure. With a "holder" for each entry.
nlohmann::json workload_to_json(const Workload& workload, const std::vector<int>& holders);

}  // namespace muster::bench
