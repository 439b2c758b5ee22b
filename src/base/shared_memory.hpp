#pragma once
// Memory that processes of one user on one machine share: made by one, found by the others through its process.

#include <cstddef>
#include <cstdint>
#include <span>

namespace muster {

// Where another process finds it. Plain numbers, to be told by any means.
struct SharedMemoryAddress {
  std::uint64_t process = 0;
  std::uint64_t descriptor = 0;
  std::uint64_t token = 0;  // tells it from what another process of that number has
  std::uint64_t bytes = 0;
};

// Move-only. Gone when no process has it any more, however they end.
class SharedMemory {
 public:
  SharedMemory() = default;
  // Page-aligned, zeroed, in huge pages where the system has them, and reserved in full: using it cannot fail later.
  // Throws Error{io}.
  static SharedMemory create(std::size_t bytes);
  // Maps what another process made, and still has. Throws Error{io} where that cannot be reached, in another container
  // for instance.
  static SharedMemory open(const SharedMemoryAddress& address);
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  // Of what this process made.
  [[nodiscard]] const SharedMemoryAddress& address() const { return address_; }

 private:
  std::span<std::byte> map_;  // the bytes, then a page with their mark
  std::span<std::byte> bytes_;
  int descriptor_ = -1;
  SharedMemoryAddress address_;
};

}  // namespace muster
