#include "bench/free_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "base/posix.hpp"

namespace muster::bench {

namespace {

// 0 where Linux does not tell.
std::uint64_t available_bytes() {
  std::ifstream info("/proc/meminfo");
  for (std::string word; info >> word;) {
    std::uint64_t kib = 0;
    if (word == "MemAvailable:" && info >> kib) return kib * 1024;
  }
  return 0;
}

class Mapping {
 public:
  explicit Mapping(std::uint64_t bytes)
      : bytes_(bytes),
        memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {
    if (memory_ == MAP_FAILED) posix::fail("map", "free memory", errno);
  }
  ~Mapping() { ::munmap(memory_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

 private:
  std::uint64_t bytes_;
  void* memory_;
};

}  // namespace

void touch_free_memory(std::uint64_t bytes) {
  const auto taken = std::min(bytes, available_bytes() / 4);
  if (taken > 0) const Mapping all_at_once(taken);
}

}  // namespace muster::bench
