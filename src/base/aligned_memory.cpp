#include "base/aligned_memory.hpp"

#include <sys/mman.h>

#include <new>

namespace muster {

AlignedMemory::AlignedMemory(std::size_t bytes) {
  if (bytes == 0) return;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  static_cast<void>(::madvise(memory, bytes, MADV_HUGEPAGE));  // a wish; small pages serve as well
  bytes_ = {static_cast<std::byte*>(memory), bytes};
}

AlignedMemory::~AlignedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace muster
