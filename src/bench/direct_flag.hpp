#pragma once
// Whether a file system lets the page cache be passed by.

#include <filesystem>

namespace muster::bench {

// O_DIRECT, or 0 where files of this directory cannot be opened with it. Local; makes and removes a small file.
int direct_flag(const std::filesystem::path& directory);

}  // namespace muster::bench
