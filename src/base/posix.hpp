#pragma once
// POSIX files: a move-only descriptor and checked calls. Errors are Error{io} that name action, path and cause; opening
// a file that is not there, without asking to create it, is Error{not_found}.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace muster::posix {

// Below Linux's limit of 2 GiB less a page for one call.
inline constexpr std::size_t kMaxTransferBytes = std::size_t{1} << 30;

// Throws Error from errno: "<action> <path>: <cause>".
[[noreturn]] void fail(const std::string& action, const std::filesystem::path& path, int error_number);

// "bytes [0, 4096) of", for the action of such an error.
std::string range_text(std::uint64_t offset, std::size_t bytes);

class File {
 public:
  // flags as for open(2); O_CLOEXEC is added. New files get mode 0666 less the umask.
  File(const std::filesystem::path& path, int flags);
  // An empty file in memory, without a name in any directory; `name` is for people who look at the process.
  static File in_memory(const std::string& name);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // All of the range or an error; a file that ends inside it is Error{corrupt}.
  void read_at(std::span<std::byte> to, std::uint64_t offset) const;
  void write_at(std::span<const std::byte> from, std::uint64_t offset) const;
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::uint64_t inode() const;
  void resize(std::uint64_t bytes) const;
  // Reserves space on the device for the first `bytes` bytes, so that no later write finds it full. Where the file
  // system cannot reserve, nothing happens.
  void allocate(std::uint64_t bytes) const;
  void sync() const;
  // Closes now, where an error can still be reported.
  void close();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  File() = default;
  std::filesystem::path path_;
  int descriptor_ = -1;
};

void rename(const std::filesystem::path& from, const std::filesystem::path& to);
// True where the file was there.
bool remove(const std::filesystem::path& path);
// Makes what was created, renamed or removed in the directory durable.
void sync_directory(const std::filesystem::path& directory);

}  // namespace muster::posix
