#include "engine/write_behind.hpp"

namespace muster::engine {

WriteBehind::WriteBehind(posix::DirectFile& file, std::vector<StagingBuffer>& buffers, int threads) : file_(file) {
  for (auto& buffer : buffers) {
    buffer.segments.clear();
    free_.push_back(&buffer);
  }
  try {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    if (threads_.empty()) throw;  // one is enough
  }
}

WriteBehind::~WriteBehind() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

StagingBuffer& WriteBehind::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || !free_.empty(); });
  if (failure_) std::rethrow_exception(failure_);
  auto& buffer = *free_.back();
  free_.pop_back();
  buffer.segments.clear();
  return buffer;
}

void WriteBehind::submit(StagingBuffer& buffer) {
  {
    const std::lock_guard lock(mutex_);
    full_.push_back(&buffer);
  }
  changed_.notify_all();
  // Where ranks fill all cores the writer would wait for its turn, and the device with it.
  std::this_thread::yield();
}

void WriteBehind::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return writing_ == 0 && (failure_ || full_.empty()); });
  if (failure_) std::rethrow_exception(failure_);
}

void WriteBehind::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || (!failure_ && !full_.empty()); });
    if (stopping_) return;
    auto& buffer = *full_.front();
    full_.pop_front();
    ++writing_;
    if (!first_write_s_) first_write_s_ = watch_.seconds();
    lock.unlock();
    std::exception_ptr failure;
    try {
      for (const auto& segment : buffer.segments) {
        file_.write_at(buffer.memory.bytes().subspan(segment.at, segment.bytes), segment.offset);
      }
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --writing_;
    if (failure && !failure_) failure_ = failure;
    free_.push_back(&buffer);
    changed_.notify_all();
  }
}

}  // namespace muster::engine
