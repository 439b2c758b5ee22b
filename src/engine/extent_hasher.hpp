#pragma once
// Hashes of extents whose bytes come in parts, one extent after the other.

#include <cstdint>
#include <span>
#include <vector>

#include "base/hash.hpp"
#include "engine/staging_buffer.hpp"

namespace muster::engine {

class ExtentHasher {
 public:
  // What comes next of an extent.
  void add(std::span<const std::byte> part, bool ends_extent);
  // The pieces of a buffer.
  void add(const StagingBuffer& buffer);
  // One an extent.
  [[nodiscard]] std::vector<std::uint64_t> take() { return std::move(hashes_); }

 private:
  Hasher hasher_;
  bool begun_ = false;  // an extent, of which there is more to come
  std::vector<std::uint64_t> hashes_;
};

}  // namespace muster::engine
