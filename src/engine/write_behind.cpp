#include "engine/write_behind.hpp"

namespace muster::engine {

WriteBehind::WriteBehind(posix::DirectFile& file, int threads, Done done) : file_(file), done_(std::move(done)) {
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

void WriteBehind::submit(StagingBuffer& buffer) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    full_.push_back(&buffer);
  }
  changed_.notify_all();
  // Where ranks fill all cores the writer would wait for its turn, and the device with it.
  std::this_thread::yield();
}

void WriteBehind::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return writing_ == 0 && full_.empty(); });
  if (failure_) std::rethrow_exception(failure_);
}

void WriteBehind::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !full_.empty(); });
    if (stopping_) return;
    auto& buffer = *full_.front();
    full_.pop_front();
    ++writing_;
    const bool failed = failure_ != nullptr;
    if (!first_write_s_) first_write_s_ = watch_.seconds();
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (!failed) buffer.write_to(file_);
    } catch (...) {
      failure = std::current_exception();
    }
    done_(buffer);
    lock.lock();
    --writing_;
    if (failure && !failure_) failure_ = failure;
    changed_.notify_all();
  }
}

}  // namespace muster::engine
