#include "bench/memory.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <muster/error.hpp>
#include <string>

#include "base/available_memory.hpp"
#include "base/posix.hpp"

namespace muster::bench {

namespace {

std::uint64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  }
  throw Error(ErrorKind::internal, "/proc/self/status has no " + field);
}

}  // namespace

PeakMemory::PeakMemory() {
  malloc_trim(0);
  start_bytes_ = status_bytes("VmRSS");
  restart();
}

void PeakMemory::restart() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5" << std::flush;
}

std::uint64_t PeakMemory::peak_bytes() const {
  const auto peak = status_bytes("VmHWM");
  return peak > start_bytes_ ? peak - start_bytes_ : 0;
}

void touch_free_memory(std::uint64_t bytes) {
  const auto taken = std::min(bytes, available_memory_bytes().value_or(0) / 4);
  if (taken == 0) return;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* memory = ::mmap(nullptr, taken, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (memory == MAP_FAILED) posix::fail("map", "free memory", errno);
  ::munmap(memory, taken);
}

}  // namespace muster::bench
