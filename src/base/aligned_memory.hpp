#pragma once
// Memory for transfers past the page cache: page-aligned, in huge pages where the system has them. Move-only.

#include <cstddef>
#include <span>
#include <utility>

namespace muster {

class AlignedMemory {
 public:
  AlignedMemory() = default;
  // Zeroed. The system provides the pages as they are first used. Throws std::bad_alloc.
  explicit AlignedMemory(std::size_t bytes);
  ~AlignedMemory();
  AlignedMemory(AlignedMemory&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  AlignedMemory& operator=(AlignedMemory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  AlignedMemory(const AlignedMemory&) = delete;
  AlignedMemory& operator=(const AlignedMemory&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace muster
