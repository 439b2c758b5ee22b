#include "bench/machine.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <muster/version.hpp>
#include <sstream>
#include <string>

#include "h5/library.hpp"
#include "mpi/mpi_version.hpp"

namespace muster::bench {

namespace {

// The type of the mounted file system whose mount point is the longest that the path starts with.
std::string file_system_of(const std::filesystem::path& directory) {
  const auto path = std::filesystem::weakly_canonical(directory).string() + "/";
  std::ifstream mounts("/proc/self/mounts");
  std::string type = "unknown";
  std::size_t longest = 0;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device;
    std::string point;
    std::string name;
    words >> device >> point >> name;
    const auto prefix = point.ends_with('/') ? point : point + "/";
    if (path.starts_with(prefix) && prefix.size() >= longest) {
      longest = prefix.size();
      type = name;
    }
  }
  return type;
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown";
}

}  // namespace

nlohmann::json describe_machine(const std::filesystem::path& directory) {
  utsname system{};
  const bool known = ::uname(&system) == 0;
  const auto pages = ::sysconf(_SC_PHYS_PAGES);
  const auto page_bytes = ::sysconf(_SC_PAGESIZE);
  return {{"cores", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", pages * page_bytes},
          {"processor", processor()},
          {"kernel", known ? std::string(system.sysname) + " " + system.release : "unknown"},
          {"file_system", file_system_of(directory)}};
}

nlohmann::json describe_versions() {
  return {{"muster", kVersion},
          {"hdf5", h5::library_version()},
          {"mpi", mpi::library_version()},
          {"compiler", __VERSION__}};
}

}  // namespace muster::bench
