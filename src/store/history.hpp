#pragma once
// <dir>/history.jsonl: one line of JSON for each save that ended, in the order in which they ended.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

namespace muster::store {

inline constexpr const char* kHistoryFile = "history.jsonl";

// Appends a line with one write, so that lines of two writers never mix. Not made durable. Throws Error{io}.
void append_history(const std::filesystem::path& directory, const nlohmann::json& entry);

// Oldest first. A line that is not JSON (a crash in its midst) is left out. Empty where there is no history.
// Throws Error{io}.
std::vector<nlohmann::json> read_history(const std::filesystem::path& directory);

}  // namespace muster::store
