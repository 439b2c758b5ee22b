#include "bench/raw_transfer.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace muster::bench {

RawTransfer::RawTransfer() {
  std::uint64_t noise = 0x9E3779B97F4A7C15U;
  for (int i = 0; i < kMaxDepth; ++i) {
    buffers_.emplace_back(kChunkBytes, kBlockBytes);
    // Not all alike: a device that compresses must not have it easier than with tensors.
    for (auto& byte : buffers_.back().span()) {
      noise = noise * 6364136223846793005U + 1442695040888963407U;
      byte = static_cast<std::byte>(noise >> 56);
    }
  }
}

void RawTransfer::run(const posix::File& file, Direction direction, std::uint64_t offset, std::uint64_t bytes,
                      int depth) const {
  std::atomic<std::uint64_t> next{0};
  const auto work = [&](const AlignedBuffer& buffer) {
    for (;;) {
      const auto at = next.fetch_add(kChunkBytes);
      if (at >= bytes) return;
      const auto chunk = buffer.span().first(std::min(kChunkBytes, bytes - at));
      if (direction == Direction::write) {
        file.write_at(chunk, offset + at);
      } else {
        file.read_at(chunk, offset + at);
      }
    }
  };
  if (depth == 1) return work(buffers_.front());
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(depth));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < failures.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          work(buffers_[i]);
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace muster::bench
