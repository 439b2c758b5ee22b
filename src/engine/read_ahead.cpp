#include "engine/read_ahead.hpp"

#include <algorithm>
#include <system_error>

#include "base/narrow.hpp"

namespace muster::engine {

ReadAhead::ReadAhead(const std::filesystem::path& path, std::vector<FileRange> ranges, StagingArena& arena,
                     const ReadAheadOptions& options)
    : file_(path, posix::DirectFile::Access::read), ranges_(std::move(ranges)), arena_(arena) {
  const auto file_bytes = file_.size();
  std::uint64_t largest = 0;
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    largest = std::max(largest, ranges_[i].bytes);
    add_pieces(i, options.piece_bytes, file_bytes);
  }
  slots_.resize(std::min(static_cast<std::size_t>(options.buffers), ranges_.size()));
  // A range may begin and end within a block.
  for (auto& slot : slots_) slot.memory = arena.take(align_up(largest, file_.block_bytes()) + file_.block_bytes());
  for (std::size_t i = 0; i < slots_.size(); ++i) prepare_slot(i);
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

void ReadAhead::add_pieces(std::size_t range, std::uint64_t piece_bytes, std::uint64_t file_bytes) {
  const auto block = file_.block_bytes();
  const auto first = ranges_[range].offset / block * block;
  const auto end = ranges_[range].offset + ranges_[range].bytes;
  // The file's last block may not be whole; what lies beyond its end is an error of the read.
  const auto last = std::max(end, std::min(align_up(end, block), file_bytes));
  const auto before = pieces_.size();
  for (auto offset = first; offset < last; offset += piece_bytes) {
    pieces_.push_back({range, offset, std::min(piece_bytes, last - offset)});
  }
  pieces_of_range_.push_back(pieces_.size() - before);
}

void ReadAhead::prepare_slot(std::size_t range) {
  auto& slot = slots_[range % slots_.size()];
  slot.first_block = ranges_[range].offset / file_.block_bytes() * file_.block_bytes();
  slot.pieces_left = pieces_of_range_[range];
  slot.failure = nullptr;
}

std::span<std::byte> ReadAhead::next() {
  std::unique_lock lock(mutex_);
  if (given_ > consumed_) {
    const auto reused_for = consumed_ + slots_.size();
    if (reused_for < ranges_.size()) prepare_slot(reused_for);
    ++consumed_;
    changed_.notify_all();
  }
  const auto& range = ranges_[given_];
  auto& slot = slots_[given_ % slots_.size()];
  changed_.wait(lock, [&] { return slot.pieces_left == 0; });
  ++given_;
  if (slot.failure) std::rethrow_exception(slot.failure);
  return slot.memory.bytes().subspan(range.offset - slot.first_block, range.bytes);
}

void ReadAhead::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] {
      return stopping_ || begun_ == pieces_.size() || pieces_[begun_].range < consumed_ + slots_.size();
    });
    if (stopping_ || begun_ == pieces_.size()) return;
    const auto& piece = pieces_[begun_++];
    auto& slot = slots_[piece.range % slots_.size()];
    const auto to = slot.memory.bytes().subspan(piece.offset - slot.first_block, piece.bytes);
    lock.unlock();
    std::exception_ptr failure;
    try {
      file_.read_at(to, piece.offset);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && !slot.failure) slot.failure = failure;
    if (--slot.pieces_left == 0) changed_.notify_all();
  }
}

}  // namespace muster::engine
