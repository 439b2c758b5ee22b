#pragma once
// A file as one rank writes or reads it at the speed of the device: whole blocks past the page cache (O_DIRECT), what
// is less than a block through it. Where the file system does not take O_DIRECT everything goes through the cache.
//
// Block edges: a block that two ranks share is never written as a whole by either; each writes its own bytes of it
// through the page cache, which one node's ranks share. No rank reads or rewrites a neighbour's bytes.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "base/narrow.hpp"
#include "base/posix.hpp"

namespace muster::posix {

inline constexpr std::uint64_t kMostBlockBytes = std::uint64_t{64} << 10;

// Memory for the whole blocks around so many bytes, which may begin and end within one.
constexpr std::uint64_t room_for_blocks(std::uint64_t bytes) {
  return align_up(bytes, kMostBlockBytes) + kMostBlockBytes;
}

class DirectFile {
 public:
  enum class Access : std::uint8_t { read, write };
  // Opens a file that exists. Errors as for File.
  DirectFile(const std::filesystem::path& path, Access access);

  // What offsets, sizes and memory addresses of transfers past the cache are multiples of: a power of two from a page
  // to kMostBlockBytes.
  [[nodiscard]] std::uint64_t block_bytes() const { return block_bytes_; }
  // Bytes that went past the page cache so far.
  [[nodiscard]] std::uint64_t direct_bytes() const { return direct_bytes_; }
  // Bytes written through the page cache so far: in memory until sync().
  [[nodiscard]] std::uint64_t cached_bytes() const { return cached_bytes_; }

  // All of it or an error, as File::write_at and File::read_at. Memory whose address is congruent to the offset modulo
  // block_bytes() goes past the cache but for its edges; any other, and little of it, goes through the cache. Short
  // transfers and interruptions are carried on. May be called by several threads at once.
  void write_at(std::span<const std::byte> from, std::uint64_t offset);
  void read_at(std::span<std::byte> to, std::uint64_t offset);

  [[nodiscard]] std::uint64_t size() const { return cached_.size(); }
  void sync() const { cached_.sync(); }
  void close();
  [[nodiscard]] const std::filesystem::path& path() const { return cached_.path(); }

 private:
  // How many of the bytes at this offset and address the next transfer takes, and whether past the cache.
  struct Step {
    std::size_t bytes = 0;
    bool direct = false;
  };
  [[nodiscard]] Step next_step(const std::byte* memory, std::size_t bytes, std::uint64_t offset) const;
  void refuse_direct() { direct_usable_ = false; }

  File cached_;
  std::optional<File> direct_;
  std::uint64_t block_bytes_ = 4096;
  std::atomic<bool> direct_usable_{false};
  std::atomic<std::uint64_t> direct_bytes_{0};
  std::atomic<std::uint64_t> cached_bytes_{0};
};

}  // namespace muster::posix
