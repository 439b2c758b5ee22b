#pragma once
// The results of a run: as JSON with every sample, and as a table for people. Local.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/options.hpp"
#include "bench/rounds.hpp"
#include "bench/statistics.hpp"

namespace muster::bench {

// Of `command`, "save" or "load".
nlohmann::json report_of(const std::string& command, int ranks, const std::string& started_at, const Options& options,
                         const RoundsResult& result);

// Prints what report_of returned.
void print_report(const nlohmann::json& report);

nlohmann::json spread_json(const Spread& spread);

// Nothing if the file has no name. Throws Error{io}.
void write_json(const std::filesystem::path& file, const nlohmann::json& value);

}  // namespace muster::bench
