#include "bench/memory_growth.hpp"

#include <fstream>
#include <string>

namespace muster::bench {

namespace {

// A line "VmHWM:    1234 kB" of /proc/self/status; 0 where there is none.
std::uint64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == field + ":" && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

MemoryGrowth::MemoryGrowth() {
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // 5 resets the peak
  known_ = reset.good();
  before_bytes_ = status_bytes("VmRSS");
}

std::uint64_t MemoryGrowth::bytes() const {
  const auto peak = status_bytes("VmHWM");
  return known_ && peak > before_bytes_ ? peak - before_bytes_ : 0;
}

}  // namespace muster::bench
