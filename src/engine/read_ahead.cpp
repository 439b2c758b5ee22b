#include "engine/read_ahead.hpp"

#include <algorithm>
#include <system_error>

#include "base/narrow.hpp"

namespace muster::engine {

ReadAhead::ReadAhead(const std::filesystem::path& path, std::vector<FileRange> ranges, StagingArena& arena,
                     const ReadAheadOptions& options)
    : file_(path, posix::DirectFile::Access::read), ranges_(std::move(ranges)), arena_(arena) {
  std::uint64_t largest = 0;
  for (const auto& range : ranges_) largest = std::max(largest, range.bytes);
  slots_.resize(std::min(static_cast<std::size_t>(options.buffers), ranges_.size()));
  // A range may begin and end within a block.
  for (auto& slot : slots_) slot.memory = arena_.take(align_up(largest, file_.block_bytes()) + file_.block_bytes());
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
  for (auto& slot : slots_) arena_.give_back(std::move(slot.memory));
}

std::span<std::byte> ReadAhead::next() {
  std::unique_lock lock(mutex_);
  if (given_ > consumed_) {
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

void ReadAhead::read(const FileRange& range, Slot& slot) {
  // Whole blocks around it, so that all of it goes past the page cache; the file's last block may not be whole.
  const auto block = file_.block_bytes();
  const auto first = range.offset / block * block;
  const auto end = range.offset + range.bytes;
  const auto last = std::max(end, std::min(align_up(end, block), file_.size()));
  file_.read_at(slot.memory.bytes().first(last - first), first);
  slot.bytes = slot.memory.bytes().subspan(range.offset - first, range.bytes);
}

}  // namespace muster::engine
