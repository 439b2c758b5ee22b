#include "engine/extent_hasher.hpp"

namespace muster::engine {

void ExtentHasher::add(std::span<const std::byte> part, bool ends_extent) {
  if (ends_extent && !begun_) {
    hashes_.push_back(hash_bytes(part));
    return;
  }
  if (!begun_) hasher_ = Hasher();
  begun_ = true;
  hasher_.add(part);
  if (!ends_extent) return;
  hashes_.push_back(hasher_.value());
  begun_ = false;
}

void ExtentHasher::add(const StagingBuffer& buffer) {
  const std::span<const std::byte> bytes = buffer.bytes();
  for (const auto& part : buffer.parts) add(bytes.subspan(part.offset, part.bytes), part.ends_extent);
}

}  // namespace muster::engine
