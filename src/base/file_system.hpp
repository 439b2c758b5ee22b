#pragma once
// What kind of file system a path lies on. Local.

#include <filesystem>
#include <string>

namespace muster {

// "ext4", "xfs", "lustre", "nfs", ...; "0x<type>" for one that muster has no name for. Of a path that does not exist
// (yet): of its nearest ancestor that does. "unknown" where the system does not say.
std::string file_system_of(const std::filesystem::path& path);

}  // namespace muster
