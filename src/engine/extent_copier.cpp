#include "engine/extent_copier.hpp"

#include <algorithm>

#include "base/failpoint.hpp"
#include "base/narrow.hpp"
#include "base/streaming_copy.hpp"

namespace muster::engine {

namespace {

// Small enough that what was hashed is still in the core's cache when it is copied.
constexpr std::size_t kCopyBytes = 128 << 10;

// `see` gets the bytes first, and whether they are the last: of the source where that is memory, else of the copy.
template <class See>
void copy(const ExtentSource& source, std::uint64_t first, std::span<std::byte> to, See&& see) {
  const auto part_bytes = source.is_divisible() ? kCopyBytes : to.size();
  for (std::size_t done = 0; done < to.size(); done += part_bytes) {
    const std::span part(to.data() + done, std::min(part_bytes, to.size() - done));
    const bool is_last = done + part.size() == to.size();
    if (source.in_memory()) {
      const std::span from(source.data() + first + done, part.size());
      see(from, is_last);
      streaming_copy(part, from);
    } else {
      source.read(first + done, part);
      see(part, is_last);
    }
  }
}

}  // namespace

ExtentCopier::ExtentCopier(const Layout& layout, int rank, const LocalShards& shards, std::uint64_t block_bytes)
    : layout_(layout), shards_(shards), block_bytes_(block_bytes), runs_(extent_runs(layout, rank)) {
  begin_run();
}

void ExtentCopier::begin_run() {
  if (at_end()) return;
  extent_ = runs_[run_].first_extent;
  cursor_ = runs_[run_].offset;
}

void ExtentCopier::fill(StagingBuffer& buffer, std::size_t capacity, ExtentHasher* hasher) {
  buffer.segments.clear();
  buffer.parts.clear();
  filled_ = 0;
  while (!at_end()) {
    const auto at = align_up(filled_, block_bytes_) + cursor_ % block_bytes_;
    if (at >= capacity) return;
    buffer.segments.push_back({{cursor_, 0}, at});
    filled_ = at;
    fill_segment(buffer, capacity, hasher);
    buffer.segments.back().bytes = filled_ - at;
    if (cursor_ < runs_[run_].end()) return;
    ++run_;
    begin_run();
  }
}

// To the end of the run or of the buffer.
void ExtentCopier::fill_segment(StagingBuffer& buffer, std::size_t capacity, ExtentHasher* hasher) {
  const auto past_last = runs_[run_].first_extent + runs_[run_].extents;
  while (extent_ < past_last && filled_ < capacity) {
    const auto& extent = layout_.extents[extent_];
    const bool is_padding = cursor_ < extent.offset;
    const auto end = is_padding ? extent.offset : extent.end();
    const auto part = std::min<std::uint64_t>(end - cursor_, capacity - filled_);
    const auto to = buffer.bytes().subspan(filled_, part);
    if (is_padding) {
      std::ranges::fill(to, std::byte{0});
    } else {
      copy_extent(buffer, extent, to, hasher);
    }
    cursor_ += part;
    filled_ += part;
    if (!is_padding && cursor_ == end) ++extent_;
  }
}

void ExtentCopier::copy_extent(StagingBuffer& buffer, const Extent& extent, std::span<std::byte> to,
                               ExtentHasher* hasher) {
  const auto first = cursor_ - extent.offset;
  if (first == 0) failpoint::pass("engine.extent");
  const bool is_last_part = first + to.size() == extent.bytes;
  const ExtentSource source(layout_, shards_, extent);
  if (hasher == nullptr) buffer.parts.push_back({{filled_, to.size()}, is_last_part});
  copy(source, first, to, [&](std::span<const std::byte> bytes, bool is_last) {
    if (hasher != nullptr) hasher->add(bytes, is_last_part && is_last);
  });
  bytes_ += to.size();
}

}  // namespace muster::engine
