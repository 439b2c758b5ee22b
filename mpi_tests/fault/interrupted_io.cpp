// Preloaded into a test (LD_PRELOAD): pread and pwrite that are cut short or interrupted, as the system may do at any
// time and hardly ever does. Everything that a program of muster reads or writes by position passes here.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

using Read = ssize_t (*)(int, void*, std::size_t, off_t);
using Write = ssize_t (*)(int, const void*, std::size_t, off_t);

enum class Fate : std::uint8_t { whole, cut, interrupted };

Fate next_fate() {
  static std::atomic<unsigned> calls{static_cast<unsigned>(::getpid())};
  const auto call = calls++ * 2654435761U >> 16;
  return call % 7 == 0 ? Fate::interrupted : call % 3 == 0 ? Fate::cut : Fate::whole;
}

// Direct transfers are cut as the kernel does it, between sectors.
std::size_t cut(int file, std::size_t bytes) {
  constexpr std::size_t kSector = 512;
  const bool direct = (::fcntl(file, F_GETFL) & O_DIRECT) != 0;
  const auto part = direct ? bytes / 3 / kSector * kSector : bytes / 3;
  return std::max<std::size_t>(part, direct ? kSector : 1);
}

template <class Call, class Memory>
ssize_t transfer(const char* name, int file, Memory memory, std::size_t bytes, off_t offset) {
  const auto call = reinterpret_cast<Call>(::dlsym(RTLD_NEXT, name));
  switch (bytes > 1 ? next_fate() : Fate::whole) {
    case Fate::interrupted:
      errno = EINTR;
      return -1;
    case Fate::cut:
      return call(file, memory, cut(file, bytes), offset);
    case Fate::whole:
      break;
  }
  return call(file, memory, bytes, offset);
}

}  // namespace

extern "C" {

ssize_t pread(int file, void* to, std::size_t bytes, off_t offset) {
  return transfer<Read>("pread", file, to, bytes, offset);
}
ssize_t pread64(int file, void* to, std::size_t bytes, off64_t offset) {
  return transfer<Read>("pread64", file, to, bytes, offset);
}
ssize_t pwrite(int file, const void* from, std::size_t bytes, off_t offset) {
  return transfer<Write>("pwrite", file, from, bytes, offset);
}
ssize_t pwrite64(int file, const void* from, std::size_t bytes, off64_t offset) {
  return transfer<Write>("pwrite64", file, from, bytes, offset);
}

}  // extern "C"
