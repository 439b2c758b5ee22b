#include "base/posix.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <muster/error.hpp>
#include <utility>

#include "base/narrow.hpp"

namespace muster::posix {

std::string range_text(std::uint64_t offset, std::size_t bytes) {
  return "bytes [" + std::to_string(offset) + ", " + std::to_string(offset + bytes) + ") of";
}

void fail(const std::string& action, const std::filesystem::path& path, int error_number) {
  throw Error(ErrorKind::io, action + " " + path.string() + ": " + std::strerror(error_number));
}

File::File(const std::filesystem::path& path, int flags) : path_(path) {
  do {
    descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ >= 0) return;
  if (errno == ENOENT && (flags & O_CREAT) == 0) {
    throw Error(ErrorKind::not_found, "open " + path_.string() + ": " + std::strerror(ENOENT));
  }
  fail("open", path_, errno);
}

File File::in_memory(const std::string& name) {
  File file;
  file.path_ = name;
  file.descriptor_ = ::memfd_create(name.c_str(), MFD_CLOEXEC);
  if (file.descriptor_ < 0) fail("make in memory the file", name, errno);
  return file;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void File::read_at(std::span<std::byte> to, std::uint64_t offset) const {
  while (!to.empty()) {
    const auto wanted = std::min(to.size(), kMaxTransferBytes);
    const ssize_t got = ::pread(descriptor_, to.data(), wanted, narrow<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read " + range_text(offset, wanted), path_, errno);
    if (got == 0) {
      throw Error(ErrorKind::corrupt, "read " + range_text(offset, wanted) + " " + path_.string() +
                                          ": the file ends at byte " + std::to_string(size()));
    }
    to = to.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void File::write_at(std::span<const std::byte> from, std::uint64_t offset) const {
  while (!from.empty()) {
    const auto wanted = std::min(from.size(), kMaxTransferBytes);
    const ssize_t put = ::pwrite(descriptor_, from.data(), wanted, narrow<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("write " + range_text(offset, wanted), path_, errno);
    if (put == 0) fail("write " + range_text(offset, wanted), path_, EIO);
    from = from.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

std::uint64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail("stat", path_, errno);
  return narrow<std::uint64_t>(status.st_size);
}

std::uint64_t File::inode() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail("stat", path_, errno);
  return status.st_ino;
}

void File::resize(std::uint64_t bytes) const {
  int result = 0;
  do {
    result = ::ftruncate(descriptor_, narrow<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail("resize to " + std::to_string(bytes) + " bytes", path_, errno);
}

void File::allocate(std::uint64_t bytes) const {
  if (bytes == 0) return;
  int result = 0;
  do {
    result = ::fallocate(descriptor_, 0, 0, narrow<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
    fail("reserve " + std::to_string(bytes) + " bytes for", path_, errno);
  }
}

void File::sync() const {
  if (::fsync(descriptor_) != 0) fail("fsync", path_, errno);
}

void File::close() {
  if (descriptor_ < 0) return;
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail("close", path_, errno);
}

void rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) fail("rename " + from.string() + " to", to, errno);
}

bool remove(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  fail("remove", path, errno);
}

void sync_directory(const std::filesystem::path& directory) {
  const File handle(directory, O_RDONLY | O_DIRECTORY);
  handle.sync();
}

}  // namespace muster::posix
