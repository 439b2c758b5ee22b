#pragma once
// Ranges of a file read ahead of who uses them, by threads that call neither MPI nor HDF5.

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/aligned_memory.hpp"
#include "base/direct_file.hpp"
#include "engine/read_buffer_cache.hpp"
#include "model/byte_range.hpp"

namespace muster::engine {

struct ReadAheadOptions {
  int buffers = 3;  // each as large as the largest range: those in use, the others on their way
  int threads = 2;
  int in_use = 1;  // what next() returned stays valid for so many calls; less than buffers
  std::span<std::byte> memory =
      {};  // of the caller's, for the buffers: memory_bytes() at least. Empty: of the buffer_cache
};

// What a caller has to bring for these ranges.
std::size_t memory_bytes(const std::vector<ByteRange>& ranges, std::size_t buffers);

class ReadAhead {
 public:
  // Opens the file and starts to read, into buffers of the buffer_cache. Errors as for posix::File.
  ReadAhead(const std::filesystem::path& path, std::vector<ByteRange> ranges, ReadBufferCache& buffer_cache,
            const ReadAheadOptions& options = {});
  // Waits for the reads in flight.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The bytes of the next range, in the order given; valid until the next call, or as many as `in_use`. Throws what
  // reading it failed with: Error{io}, or Error{corrupt} where the file ends inside it.
  std::span<std::byte> next();
  // Of all buffers.
  [[nodiscard]] std::uint64_t buffer_bytes() const;

 private:
  struct Slot {
    AlignedMemory owned;
    std::span<std::byte> memory;
    std::span<std::byte> bytes;
    std::exception_ptr failure;
    bool filled = false;
  };

  void work();
  void read(const ByteRange& range, Slot& slot);

  posix::DirectFile file_;
  const std::vector<ByteRange> ranges_;
  ReadBufferCache& buffer_cache_;
  const std::size_t in_use_;
  std::vector<Slot> slots_;  // range i is read into slot i % slots
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t begun_ = 0;     // ranges that a thread has taken
  std::size_t consumed_ = 0;  // ranges whose slot may be used again
  std::size_t given_ = 0;     // ranges that next() has returned
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace muster::engine
