#pragma once
// Memory at a multiple of an alignment. Move-only.

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace muster::bench {

class AlignedBuffer {
 public:
  // No memory for 0 bytes: data() is null then. Throws std::bad_alloc.
  AlignedBuffer(std::size_t bytes, std::size_t alignment_bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    void* memory = nullptr;
    if (::posix_memalign(&memory, alignment_bytes, bytes) != 0) throw std::bad_alloc();
    memory_.reset(static_cast<std::byte*>(memory));
  }
  [[nodiscard]] std::byte* data() const { return memory_.get(); }
  [[nodiscard]] std::span<std::byte> span() const { return {memory_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t bytes_;
};

}  // namespace muster::bench
