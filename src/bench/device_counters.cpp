#include "bench/device_counters.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <fstream>

namespace muster::bench {

std::optional<DeviceCounters> read_device_counters(const std::filesystem::path& directory) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) return std::nullopt;
  std::ifstream file(fmt::format("/sys/dev/block/{}:{}/stat", major(status.st_dev), minor(status.st_dev)));
  constexpr std::uint64_t kSectorBytes = 512;
  enum : std::size_t { reads, read_sectors = 2, writes = 4, write_sectors = 6, busy_ms = 9, queued_ms = 10, kFields };
  std::array<std::uint64_t, kFields> fields{};
  for (auto& field : fields) file >> field;
  if (!file) return std::nullopt;
  return DeviceCounters{.requests = fields[reads] + fields[writes],
                        .bytes = (fields[read_sectors] + fields[write_sectors]) * kSectorBytes,
                        .busy_ms = fields[busy_ms],
                        .queued_ms = fields[queued_ms]};
}

}  // namespace muster::bench
