#include "base/hash.hpp"

#include <fmt/format.h>
#ifdef MUSTER_XXHASH_DISPATCHES
#define XXH_STATIC_LINKING_ONLY  // the state's size
#include <xxhash.h>
// After it: replaces its functions by those that look at the processor.
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

namespace muster {

struct Hasher::Stream {
  XXH3_state_t state;
};

std::uint64_t hash_bytes(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string hash_text(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

Hasher::Hasher() : stream_(std::make_unique<Stream>()) { XXH3_64bits_reset(&stream_->state); }
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::add(std::span<const std::byte> bytes) { XXH3_64bits_update(&stream_->state, bytes.data(), bytes.size()); }

std::uint64_t Hasher::value() const { return XXH3_64bits_digest(&stream_->state); }

}  // namespace muster
