#include "base/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <muster/error.hpp>
#include <random>
#include <string>
#include <utility>

#include "base/posix.hpp"

namespace muster {

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20U;
constexpr int kMadviseCollapse = 25;  // MADV_COLLAPSE: since Linux 6.1, in the headers of later C libraries

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

struct Mark {
  std::uint64_t token = 0;
  std::uint64_t bytes = 0;
};

// The mark lies behind the bytes, so that these begin with a huge page.
std::size_t mark_offset(std::size_t bytes) { return round_up(bytes, kPageBytes); }
std::size_t map_bytes(std::size_t bytes) { return mark_offset(bytes) + kPageBytes; }

std::span<std::byte> map(int descriptor, std::size_t bytes, const std::filesystem::path& name) {
  // Linux puts shared mappings anywhere: take more, map at a multiple of the huge page in it, give back the rest.
  const auto taken_bytes = bytes + kHugePageBytes;
  void* taken = ::mmap(nullptr, taken_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (taken == MAP_FAILED) posix::fail("find room for", name, errno);
  auto* const begin = static_cast<std::byte*>(taken);
  const auto address = reinterpret_cast<std::uintptr_t>(taken);
  auto* const aligned = begin + (round_up(address, kHugePageBytes) - address);
  void* memory = ::mmap(aligned, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
  const int error = errno;
  if (memory == MAP_FAILED) {
    ::munmap(taken, taken_bytes);
    posix::fail("map", name, error);
  }
  auto* const end = aligned + round_up(bytes, kPageBytes);
  if (aligned > begin) ::munmap(begin, static_cast<std::size_t>(aligned - begin));
  if (end < begin + taken_bytes) ::munmap(end, static_cast<std::size_t>(begin + taken_bytes - end));
  return {static_cast<std::byte*>(memory), bytes};
}

}  // namespace

SharedMemory SharedMemory::create(std::size_t bytes) {
  const std::filesystem::path name = "memory to share";
  const auto all = map_bytes(bytes);
  SharedMemory memory;
  memory.descriptor_ = ::memfd_create("muster", MFD_CLOEXEC);
  if (memory.descriptor_ < 0) posix::fail("make", name, errno);
  const int error = ::posix_fallocate(memory.descriptor_, 0, static_cast<off_t>(all));
  if (error != 0) posix::fail("reserve " + std::to_string(all) + " bytes of", name, error);
  memory.map_ = map(memory.descriptor_, all, name);
  memory.bytes_ = memory.map_.first(bytes);
  // A disk takes a transfer from huge pages in a few large requests, from scattered small ones in many. Best effort.
  if (bytes >= kHugePageBytes) {
    static_cast<void>(::madvise(memory.map_.data(), bytes / kHugePageBytes * kHugePageBytes, kMadviseCollapse));
  }
  std::random_device random;
  memory.address_ = {.process = static_cast<std::uint64_t>(::getpid()),
                     .descriptor = static_cast<std::uint64_t>(memory.descriptor_),
                     .token = std::uint64_t{random()} << 32U | random(),
                     .bytes = bytes};
  const Mark mark{.token = memory.address_.token, .bytes = bytes};
  std::memcpy(memory.map_.data() + mark_offset(bytes), &mark, sizeof(mark));
  return memory;
}

SharedMemory SharedMemory::open(const SharedMemoryAddress& address) {
  const posix::File file("/proc/" + std::to_string(address.process) + "/fd/" + std::to_string(address.descriptor),
                         O_RDWR);
  const auto all = map_bytes(address.bytes);
  const auto refuse = [&] {
    throw Error(ErrorKind::io, file.path().string() + " is not the memory that was to be shared");
  };
  if (file.size() != all) refuse();
  SharedMemory memory;
  memory.map_ = map(file.descriptor(), all, file.path());
  memory.bytes_ = memory.map_.first(address.bytes);
  Mark mark;
  std::memcpy(&mark, memory.map_.data() + mark_offset(address.bytes), sizeof(mark));
  if (mark.token != address.token || mark.bytes != address.bytes) refuse();
  return memory;
}

SharedMemory::~SharedMemory() {
  if (!map_.empty()) ::munmap(map_.data(), map_.size());
  if (descriptor_ >= 0) ::close(descriptor_);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : map_(std::exchange(other.map_, {})),
      bytes_(std::exchange(other.bytes_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      address_(other.address_) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(map_, other.map_);
  std::swap(bytes_, other.bytes_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(address_, other.address_);
  return *this;
}

}  // namespace muster
