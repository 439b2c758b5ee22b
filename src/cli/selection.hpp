#pragma once
// From a path and a tag on the command line to checkpoint files.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "store/directory.hpp"

namespace muster::cli {

// The file meant by PATH [--tag T]: a file itself; of a directory the tag's, or without a tag the one that a resume
// tries first, unless `latest` names one that is damaged: then that, so that the damage comes to light. What else is
// wrong in the directory is said on stderr. Throws Error{not_found} where there is none.
std::filesystem::path selected_file(const std::filesystem::path& path, const std::optional<std::string>& tag);

// Throws Error{io} if the path is not a directory.
void require_directory(const std::filesystem::path& path);

// The directory's listing. Throws Error{io} where PATH is no directory that can be read.
std::vector<store::TagEntry> entries_of(const std::filesystem::path& directory);

}  // namespace muster::cli
