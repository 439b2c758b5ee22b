#pragma once
// XXH3 (64 bits, seed 0), the one hash of muster: of file extents, of heads, of descriptions.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace muster {

std::uint64_t hash_bytes(std::span<const std::byte> bytes);

// 16 lower-case hexadecimal digits.
std::string hash_text(std::uint64_t hash);

// The same hash over bytes that come in pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void add(std::span<const std::byte> bytes);
  [[nodiscard]] std::uint64_t value() const;

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace muster
