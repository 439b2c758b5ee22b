#include "engine/piece_hasher.hpp"

#include <span>

namespace muster::engine {

void PieceHasher::add(const StagingBuffer& buffer) {
  const std::span<const std::byte> bytes = buffer.bytes();
  for (const auto& piece : buffer.pieces) {
    const auto part = bytes.subspan(piece.at, piece.bytes);
    if (piece.ends_extent && !begun_) {
      hashes_.push_back(hash_bytes(part));
      continue;
    }
    if (!begun_) hasher_ = Hasher();
    begun_ = true;
    hasher_.add(part);
    if (!piece.ends_extent) continue;
    hashes_.push_back(hasher_.value());
    begun_ = false;
  }
}

}  // namespace muster::engine
