#include "engine/filler.hpp"

#include <algorithm>

#include "base/failpoint.hpp"
#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "base/streaming_copy.hpp"

namespace muster::engine {

namespace {

// Small enough that what was hashed is still in the core's cache when it is copied.
constexpr std::size_t kCopyBytes = 128 << 10;

// `see` gets the bytes first: of the source where that is memory, else of the copy.
template <class See>
void copy(const ExtentSource& source, std::uint64_t first, std::span<std::byte> to, See&& see) {
  const auto part_bytes = source.is_divisible() ? kCopyBytes : to.size();
  for (std::size_t done = 0; done < to.size(); done += part_bytes) {
    const auto part = to.subspan(done, std::min(part_bytes, to.size() - done));
    if (source.in_memory()) {
      const std::span from(source.data() + first + done, part.size());
      see(from);
      streaming_copy(part, from);
    } else {
      source.read(first + done, part);
      see(part);
    }
  }
}

}  // namespace

void Filler::fill(const ExtentRun& run) {
  open_segment(run.offset);
  auto cursor = run.offset;
  for (std::size_t i = run.first_extent; i < run.first_extent + run.extents; ++i) {
    const auto& extent = layout_.extents[i];
    put(extent.offset - cursor, [](std::uint64_t, std::span<std::byte> to) { std::ranges::fill(to, std::byte{0}); });
    put_extent(extent);
    cursor = extent.offset + extent.bytes;
  }
}

void Filler::hand_over() {
  if (buffer_ == nullptr) return;
  sink_.submit(*buffer_);
  buffer_ = nullptr;
}

// Bytes that follow go to this offset. A segment starts at an address congruent to its offset.
void Filler::open_segment(std::uint64_t offset) {
  const auto past_block = static_cast<std::size_t>(offset % options_.block_bytes);
  if (buffer_ != nullptr) {
    filled_ = align_up(filled_, options_.block_bytes) + past_block;
    if (filled_ >= capacity_) hand_over();
  }
  if (buffer_ == nullptr) {
    buffer_ = &sink_.next();
    capacity_ = started_ ? options_.buffer_bytes : std::min(options_.first_bytes, options_.buffer_bytes);
    started_ = true;
    filled_ = past_block;
  }
  buffer_->segments.push_back({filled_, 0, offset});
}

// Appends `bytes` bytes, got piece by piece from get(first byte, to).
template <class Get>
void Filler::put(std::uint64_t bytes, Get&& get) {
  for (std::uint64_t done = 0; done < bytes;) {
    if (room() == 0) {
      const auto& last = buffer_->segments.back();
      open_segment(last.offset + last.bytes);
    }
    const auto part = std::min<std::uint64_t>(bytes - done, room());
    get(done, buffer_->memory.bytes().subspan(filled_, part));
    filled_ += part;
    buffer_->segments.back().bytes += part;
    done += part;
  }
}

void Filler::put_extent(const Extent& extent) {
  failpoint::pass("engine.extent");
  const ExtentSource source(layout_, shards_, extent);
  if (options_.hash != HashWhen::while_copying) {
    put(extent.bytes, [&](std::uint64_t first, std::span<std::byte> to) {
      if (options_.hash == HashWhen::later) {
        buffer_->pieces.push_back({filled_, to.size(), first + to.size() == extent.bytes});
      }
      copy(source, first, to, [](std::span<const std::byte>) {});
    });
    hashes_.push_back(0);
  } else if (extent.bytes <= kCopyBytes && extent.bytes <= room()) {
    put(extent.bytes, [&](std::uint64_t first, std::span<std::byte> to) {
      copy(source, first, to, [&](std::span<const std::byte> bytes) { hashes_.push_back(hash_bytes(bytes)); });
    });
  } else {
    Hasher hasher;
    put(extent.bytes, [&](std::uint64_t first, std::span<std::byte> to) {
      copy(source, first, to, [&](std::span<const std::byte> bytes) { hasher.add(bytes); });
    });
    hashes_.push_back(hasher.value());
  }
  bytes_ += extent.bytes;
}

}  // namespace muster::engine
