#pragma once
// What the kernel counts of a block device, to tell a device that waits for us from one that is slow. Local.

#include <cstdint>
#include <filesystem>
#include <optional>

namespace muster::bench {

// Sums since the machine started; a difference of two is what happened between them.
struct DeviceCounters {
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;
  std::uint64_t busy_ms = 0;    // with at least one request in flight
  std::uint64_t queued_ms = 0;  // of each request in flight, summed over requests

  friend DeviceCounters operator-(const DeviceCounters& end, const DeviceCounters& start) {
    return {end.requests - start.requests, end.bytes - start.bytes, end.busy_ms - start.busy_ms,
            end.queued_ms - start.queued_ms};
  }
};

// Of the device that holds this directory; nothing where no single device does (memory, network, several disks).
// Source: the kernel's Documentation/block/stat.rst.
std::optional<DeviceCounters> read_device_counters(const std::filesystem::path& directory);

}  // namespace muster::bench
