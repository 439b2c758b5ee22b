#include "engine/read_ahead.hpp"

#include <algorithm>
#include <muster/error.hpp>
#include <system_error>

#include "base/narrow.hpp"

namespace muster::engine {

namespace {

std::size_t slot_bytes(const std::vector<ByteRange>& ranges) {
  std::uint64_t largest = 0;
  for (const auto& range : ranges) largest = std::max(largest, range.bytes);
  return posix::room_for_blocks(largest);
}

std::size_t slot_count(const std::vector<ByteRange>& ranges, std::size_t buffers) {
  return std::min(buffers, ranges.size());
}

}  // namespace

std::size_t memory_bytes(const std::vector<ByteRange>& ranges, std::size_t buffers) {
  return slot_count(ranges, buffers) * slot_bytes(ranges);
}

ReadAhead::ReadAhead(const std::filesystem::path& path, std::vector<ByteRange> ranges, ReadBufferCache& buffer_cache,
                     const ReadAheadOptions& options)
    : file_(path, posix::DirectFile::Access::read),
      ranges_(std::move(ranges)),
      buffer_cache_(buffer_cache),
      in_use_(static_cast<std::size_t>(options.in_use)) {
  slots_.resize(slot_count(ranges_, static_cast<std::size_t>(options.buffers)));
  const auto bytes = slot_bytes(ranges_);
  if (file_.block_bytes() > posix::kMostBlockBytes ||
      (!options.memory.empty() && options.memory.size() < slots_.size() * bytes)) {
    throw Error(ErrorKind::internal, "too little memory to read into");
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    if (options.memory.empty()) slot.owned = buffer_cache_.take(bytes);
    slot.memory = options.memory.empty() ? slot.owned.bytes() : options.memory.subspan(i * bytes, bytes);
  }
  try {
    for (int i = 0; i < options.threads && !ranges_.empty(); ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    if (threads_.empty()) throw;  // one is enough
  }
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
  for (auto& slot : slots_) {
    if (slot.owned.size() > 0) buffer_cache_.give_back(std::move(slot.owned));
  }
}

std::uint64_t ReadAhead::buffer_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& slot : slots_) bytes += slot.memory.size();
  return bytes;
}

std::span<std::byte> ReadAhead::next() {
  std::unique_lock lock(mutex_);
  if (given_ >= consumed_ + in_use_) {
    slots_[consumed_ % slots_.size()].filled = false;
    ++consumed_;
    changed_.notify_all();
  }
  auto& slot = slots_[given_ % slots_.size()];
  changed_.wait(lock, [&] { return slot.filled; });
  ++given_;
  if (slot.failure) std::rethrow_exception(slot.failure);
  return slot.bytes;
}

void ReadAhead::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || begun_ == ranges_.size() || begun_ < consumed_ + slots_.size(); });
    if (stopping_ || begun_ == ranges_.size()) return;
    const auto& range = ranges_[begun_];
    auto& slot = slots_[begun_ % slots_.size()];
    ++begun_;
    lock.unlock();
    slot.failure = nullptr;
    try {
      read(range, slot);
    } catch (...) {
      slot.failure = std::current_exception();
    }
    lock.lock();
    slot.filled = true;
    changed_.notify_all();
  }
}

void ReadAhead::read(const ByteRange& range, Slot& slot) {
  // Whole blocks around it, so that all of it goes past the page cache; the file's last block may not be whole.
  const auto block = file_.block_bytes();
  const auto first = range.offset / block * block;
  const auto end = range.offset + range.bytes;
  const auto last = std::max(end, std::min(align_up(end, block), file_.size()));
  file_.read_at(slot.memory.first(last - first), first);
  slot.bytes = slot.memory.subspan(range.offset - first, range.bytes);
}

}  // namespace muster::engine
