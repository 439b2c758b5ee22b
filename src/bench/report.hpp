#pragma once
// The results of a run: as JSON with every sample, and as a table for people. Local.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/options.hpp"
#include "bench/rounds.hpp"

namespace muster::bench {

// A thing that was asked for and could not be measured.
struct Absence {
  std::string name;
  std::string why;
};

struct Report {
  std::string command;  // "save", "load"
  Arguments command_line;
  int ranks = 1;
  std::string started_at;
  nlohmann::json notes = nlohmann::json::object();  // more members of the JSON
};

nlohmann::json to_json(const Report& report, const Options& options, const RoundsResult& result,
                       const std::vector<Absence>& absences);

// Prints what the JSON of to_json holds.
void print_report(const nlohmann::json& report);

// Throws Error{io}.
void write_json(const std::filesystem::path& file, const nlohmann::json& value);

}  // namespace muster::bench
