#include "base/aligned_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

namespace muster {

namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

std::byte* map(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

// From a multiple of the huge page on, so that huge pages can be all of it.
std::byte* map_huge(std::size_t bytes) {
  const auto more = bytes + kHugePageBytes;
  auto* memory = map(more);
  const auto past = reinterpret_cast<std::uintptr_t>(memory) % kHugePageBytes;
  const auto before = past == 0 ? 0 : kHugePageBytes - past;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto used = before + (bytes + page - 1) / page * page;
  if (before != 0) ::munmap(memory, before);
  if (used < more) ::munmap(memory + used, more - used);
  static_cast<void>(::madvise(memory + before, bytes, MADV_HUGEPAGE));  // best effort: small pages serve as well
  return memory + before;
}

}  // namespace

AlignedMemory::AlignedMemory(std::size_t bytes) {
  if (bytes == 0) return;
  bytes_ = {bytes < kHugePageBytes ? map(bytes) : map_huge(bytes), bytes};
}

AlignedMemory::~AlignedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace muster
