#include "engine/staging_pool.hpp"

#include <algorithm>

namespace muster::engine {

void StagingPool::set_limit(std::size_t buffers) {
  const std::lock_guard lock(mutex_);
  limit_ = std::max<std::size_t>(buffers, 2);
  while (!free_.empty() && in_use_ + free_.size() > limit_) free_.pop_back();
}

std::optional<AlignedMemory> StagingPool::take_locked() {
  if (in_use_ >= limit_) return std::nullopt;
  std::optional<AlignedMemory> memory;
  if (free_.empty()) {
    memory.emplace(kBufferBytes);
  } else {
    memory = std::move(free_.back());
    free_.pop_back();
  }
  ++in_use_;
  free_.reserve(free_.size() + in_use_);  // give_back() must not fail
  return memory;
}

std::optional<AlignedMemory> StagingPool::try_take() {
  const std::lock_guard lock(mutex_);
  return take_locked();
}

AlignedMemory StagingPool::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (auto memory = take_locked()) return std::move(*memory);
    given_back_.wait(lock);
  }
}

void StagingPool::give_back(AlignedMemory memory) {
  {
    const std::lock_guard lock(mutex_);
    --in_use_;
    if (in_use_ + free_.size() < limit_) free_.push_back(std::move(memory));
  }
  given_back_.notify_one();
}

std::span<std::byte> StagingPool::write_through_memory(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (through_.size() < bytes) through_ = AlignedMemory(bytes);
  return through_.bytes().first(bytes);
}

void StagingPool::trim() {
  const std::lock_guard lock(mutex_);
  free_.clear();
  through_ = AlignedMemory();
}

}  // namespace muster::engine
