#include "engine/direct_write.hpp"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "base/all_signals_block.hpp"
#include "base/failpoint.hpp"
#include "base/narrow.hpp"

namespace muster::engine {

namespace {

// What is written through first is short, so that the device need not wait for a full buffer.
constexpr std::size_t kFirstBytes = 512 << 10;

// One writes while the other gets the next buffer ready.
constexpr std::size_t kThreads = 2;
// What run() copies itself at a time. Every turn on a core that the program uses costs it what its caches held; but
// where a rate is set nothing should go out in large bursts.
std::size_t write_through_part_bytes(double bytes_per_s) {
  constexpr std::size_t kLeast = 512 << 10;
  constexpr std::size_t kMost = StagingPool::kBufferBytes;
  const double within_slack = bytes_per_s * RateLimit::kSlackS;
  if (bytes_per_s <= 0 || within_slack >= static_cast<double>(kMost)) return kMost;
  return align_up(std::max<std::size_t>(static_cast<std::size_t>(within_slack), 1), kLeast);
}

}  // namespace

DirectWrite::DirectWrite(const std::filesystem::path& part, const Layout& layout, int rank, LocalShards shards,
                         StagingPool& pool)
    : layout_(layout),
      rank_(rank),
      pool_(pool),
      file_(part, posix::DirectFile::Access::write),
      shards_(std::move(shards)) {
  for (const auto& extent : layout.extents) {
    if (extent.writer == rank) total_bytes_ += extent.bytes;
  }
  copier_.emplace(layout_, rank, shards_, file_.block_bytes());
}

DirectWrite::~DirectWrite() { give_all_memory_back(); }  // of a save that was given up before run()

bool DirectWrite::is_in_host_memory() const {
  constexpr std::uint64_t kNextToNone = 1 << 20;
  return bytes_by_functions() <= kNextToNone;
}

std::uint64_t DirectWrite::bytes_by_functions() const {
  std::uint64_t bytes = 0;
  for (const auto& extent : layout_.extents) {
    if (extent.writer != rank_) continue;
    const auto* memory = shards_[extent.tensor].memory;
    if (memory != nullptr && memory->data == nullptr) bytes += extent.bytes;
  }
  return bytes;
}

void DirectWrite::give_all_memory_back() {
  const std::lock_guard lock(mutex_);
  for (auto& buffer : buffers_) {
    if (buffer->memory.size() != 0) pool_.give_back(std::move(buffer->memory));
  }
}

void DirectWrite::close_quietly() {
  try {
    file_.close();
  } catch (const std::exception&) {
    // What made it necessary is what counts.
  }
}

void DirectWrite::sign_of_life() {
  ++signs_of_life_;
  if (on_progress_) on_progress_();
}

void DirectWrite::stage() {
  const std::lock_guard one_at_a_time(stage_mutex_);
  bool goes_on = true;
  {
    const std::lock_guard lock(mutex_);
    in_stage_ = true;  // who writes copies no more than it is at
  }
  {
    const std::lock_guard copying(copy_mutex_);  // who copied last has told so when it is free
    if (copier_ && copier_->at_end()) end_staging(nullptr);
    goes_on = copier_.has_value();
  }
  std::exception_ptr failure;
  while (goes_on) {
    StagingBuffer* buffer = nullptr;
    try {
      buffer = &take_from_pool();  // which may take its time, and so not with the lock that copying needs
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard copying(copy_mutex_);
    if (copier_ && !failure && !copier_->at_end()) {
      try {
        copy_next(*buffer, nullptr);
        const std::lock_guard lock(mutex_);
        staged_.push_back(buffer);
        buffer = nullptr;
      } catch (...) {
        failure = std::current_exception();
      }
    }
    if (buffer != nullptr) recycle(*buffer);
    if (copier_ && (failure || copier_->at_end())) end_staging(failure);
    goes_on = copier_.has_value();
    changed_.notify_all();
  }
  {
    const std::lock_guard lock(mutex_);
    in_stage_ = false;
    failure = staging_failure_;
  }
  changed_.notify_all();
  if (failure) std::rethrow_exception(failure);
}

// With copy_mutex_.
void DirectWrite::copy_next(StagingBuffer& buffer, ExtentHasher* hasher) {
  if (!copying_) failpoint::pass("save.stage");
  const Stopwatch watch;
  const bool is_first = !std::exchange(copying_, true);
  const auto capacity = buffer.bytes().size();
  copier_->fill(buffer, writes_through_ && is_first ? std::min(kFirstBytes, capacity) : capacity, hasher);
  stage_s_ += watch.seconds();
}

// With copy_mutex_.
void DirectWrite::end_staging(std::exception_ptr failure) {
  copier_.reset();
  shards_ = {};
  {
    const std::lock_guard lock(mutex_);
    staging_failure_ = std::move(failure);
    all_staged_ = true;
    may_write_ = true;
  }
  changed_.notify_all();
  if (on_staged_) on_staged_();
}

void DirectWrite::give_up(std::exception_ptr failure) {
  {
    const std::lock_guard lock(mutex_);
    if (!given_up_) given_up_ = std::move(failure);
    may_write_ = true;
  }
  changed_.notify_all();
}

std::exception_ptr DirectWrite::given_up() {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

StagingBuffer& DirectWrite::take_from_pool() {
  if (const auto failure = given_up()) std::rethrow_exception(failure);
  auto memory = pool_.try_take();
  if (!memory) {
    {
      const std::lock_guard lock(mutex_);
      may_write_ = true;
    }
    changed_.notify_all();
    memory = pool_.take();
  }
  const std::lock_guard lock(mutex_);
  if (empty_.empty()) {
    buffers_.push_back(std::make_unique<StagingBuffer>());
    empty_.reserve(buffers_.size());  // recycle() must not fail
    empty_.push_back(buffers_.back().get());
  }
  auto& buffer = *empty_.back();
  empty_.pop_back();
  buffer.memory = std::move(*memory);
  return buffer;
}

void DirectWrite::recycle(StagingBuffer& buffer) {
  if (!buffer.borrowed.empty()) return;
  const std::lock_guard lock(mutex_);
  if (buffer.memory.size() != 0) pool_.give_back(std::move(buffer.memory));
  empty_.push_back(&buffer);
}

void DirectWrite::fail(std::exception_ptr failure) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

// With front_mutex_. Waits for what is to be written next, or copies it; null where all has been taken.
StagingBuffer* DirectWrite::next_to_write(StagingBuffer& own) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !staged_.empty() || all_staged_ || (writes_through_ && !in_stage_); });
      if (!staged_.empty()) {
        auto* buffer = staged_.front();
        staged_.pop_front();
        return buffer;
      }
      if (all_staged_) return nullptr;
    }
    const std::lock_guard copying(copy_mutex_);
    if (!copier_) continue;
    std::exception_ptr failure;
    {
      const std::lock_guard lock(mutex_);
      if (!staged_.empty()) continue;  // by somebody who was faster
      failure = failure_ ? failure_ : given_up_;
    }
    bool copied = false;
    try {
      if (!failure && !copier_->at_end()) {
        copy_next(own, &hasher_);  // which has had all that comes before it
        copied = true;
      }
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure || copier_->at_end()) end_staging(failure);
    if (copied) return &own;
  }
}

// With front_mutex_. False where it is not to be written any more.
bool DirectWrite::prepare(const StagingBuffer& buffer) {
  {
    const std::lock_guard lock(mutex_);
    if (given_up_ && !failure_) failure_ = given_up_;
    if (failure_) return false;
  }
  try {
    failpoint::pass("save.write");
    hasher_.add(buffer);
    rate_limit_->wait_before_write(buffer.segment_bytes(), [this] {
      sign_of_life();
      if (const auto given = given_up()) std::rethrow_exception(given);
    });
  } catch (...) {
    fail(std::current_exception());
    return false;
  }
  if (!first_write_s_) first_write_s_ = writing_.seconds();
  return true;
}

// On each of the threads, with a buffer of its own for what it copies itself.
// Whatever happens every buffer is taken: the thread that stages may be waiting for one.
void DirectWrite::write_in_turns(StagingBuffer& own) {
  for (;;) {
    StagingBuffer* buffer = nullptr;
    bool is_ready = false;
    {
      const std::lock_guard front(front_mutex_);
      buffer = next_to_write(own);
      if (buffer == nullptr) return;
      is_ready = prepare(*buffer);
    }
    try {
      if (is_ready) buffer->write_to(file_);
    } catch (...) {
      fail(std::current_exception());
      is_ready = false;
    }
    if (is_ready) written_bytes_ += buffer->segment_bytes();
    if (is_ready && buffer == &own) write_through_bytes_ += buffer->segment_bytes();
    recycle(*buffer);
    if (is_ready) sign_of_life();
  }
}

void DirectWrite::borrow_memory(std::vector<StagingBuffer>& own) {
  if (!writes_through_) return;
  const auto part_bytes = write_through_part_bytes(bytes_per_s_);
  const auto through = pool_.write_through_memory(own.size() * part_bytes);
  for (std::size_t i = 0; i < own.size(); ++i) own[i].borrowed = through.subspan(i * part_bytes, part_bytes);
}

WriteResult DirectWrite::run() {
  {
    // Until all is staged, or as much as fits: what the program may be waiting for has the cores and the memory bus to
    // itself.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return may_write_ || writes_through_; });
  }
  if (on_phase_) on_phase_(SavePhase::write);
  writing_ = Stopwatch();
  rate_limit_.emplace(bytes_per_s_);
  // What one short write takes needs no second thread, and no memory for it.
  const std::size_t threads = total_bytes_ <= kFirstBytes ? 1 : kThreads;
  std::vector<StagingBuffer> own(threads);
  try {
    borrow_memory(own);
  } catch (...) {
    fail(std::current_exception());  // a thread that stages may wait for its buffers all the same
  }
  {
    std::vector<std::thread> others;
    try {
      const AllSignalsBlock while_threads_start;
      others.reserve(threads - 1);
      for (std::size_t i = 1; i < threads; ++i) others.emplace_back([&, i] { write_in_turns(own[i]); });
    } catch (const std::exception&) {
      // One is enough.
    }
    write_in_turns(own[0]);
    for (auto& other : others) other.join();
  }
  std::exception_ptr failure;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_ && staging_failure_) phase_ = SavePhase::stage;
    failure = failure_ ? failure_ : staging_failure_;
  }
  if (failure) {
    // A handle of the program's may keep this object for long, but not its memory and its disk space.
    give_all_memory_back();
    close_quietly();
    std::rethrow_exception(failure);
  }
  write_s_ = writing_.seconds();
  phase_ = SavePhase::sync;
  if (on_phase_) on_phase_(SavePhase::sync);
  const auto direct_bytes = file_.direct_bytes();
  try {
    failpoint::pass("save.sync");
    file_.sync();
    file_.close();
  } catch (...) {
    close_quietly();
    throw;
  }
  sync_s_ = writing_.seconds() - write_s_;
  return {
      .hashes = hasher_.take(), .bytes = total_bytes_, .direct_bytes = direct_bytes, .first_byte_s = first_write_s_};
}

}  // namespace muster::engine
