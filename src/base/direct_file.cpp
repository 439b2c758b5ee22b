#include "base/direct_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <muster/error.hpp>

#include "base/narrow.hpp"

namespace muster::posix {

namespace {

// Below this the page cache is faster than a transfer of its own.
constexpr std::size_t kMinDirectBytes = 64 << 10;
static_assert(kMostBlockBytes <= kMinDirectBytes, "a direct transfer has at least one block");

// What the file system asks of direct transfers; 0 where it takes none, nothing where it does not say.
std::optional<std::uint64_t> direct_alignment(int descriptor) {
#ifdef STATX_DIOALIGN
  struct statx status {};
  if (::statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) return std::nullopt;
  if ((status.stx_mask & STATX_DIOALIGN) == 0) return std::nullopt;
  return std::max(status.stx_dio_mem_align, status.stx_dio_offset_align);
#else
  static_cast<void>(descriptor);
  return std::nullopt;
#endif
}

std::optional<File> open_direct(const std::filesystem::path& path, int flags) {
  try {
    return File(path, flags | O_DIRECT);
  } catch (const Error&) {
    return std::nullopt;  // opened once already without O_DIRECT: that is what was refused
  }
}

}  // namespace

DirectFile::DirectFile(const std::filesystem::path& path, Access access)
    : cached_(path, access == Access::read ? O_RDONLY : O_WRONLY) {
  const auto page = narrow<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto alignment = direct_alignment(cached_.descriptor());
  // What asks for more than buffers are cut for (ZFS: a record) goes through the cache.
  if (alignment && (*alignment == 0 || *alignment > kMostBlockBytes || !std::has_single_bit(*alignment))) {
    block_bytes_ = page;
    return;
  }
  block_bytes_ = std::max(page, alignment.value_or(page));
  direct_ = open_direct(path, access == Access::read ? O_RDONLY : O_WRONLY);
  direct_usable_ = direct_.has_value();
}

DirectFile::Step DirectFile::next_step(const std::byte* memory, std::size_t bytes, std::uint64_t offset) const {
  const Step cached{std::min(bytes, kMaxTransferBytes), false};
  const auto past_block = static_cast<std::size_t>(offset % block_bytes_);
  const bool congruent = (reinterpret_cast<std::uintptr_t>(memory) - offset) % block_bytes_ == 0;
  if (!direct_usable_ || !congruent || bytes < kMinDirectBytes) return cached;
  if (past_block != 0) return {std::min(bytes, static_cast<std::size_t>(block_bytes_) - past_block), false};
  return {std::min(bytes, kMaxTransferBytes) / block_bytes_ * block_bytes_, true};
}

void DirectFile::write_at(std::span<const std::byte> from, std::uint64_t offset) {
  while (!from.empty()) {
    const auto step = next_step(from.data(), from.size(), offset);
    if (!step.direct) {
      cached_.write_at(from.first(step.bytes), offset);
      cached_bytes_ += step.bytes;
      from = from.subspan(step.bytes);
      offset += step.bytes;
      continue;
    }
    const ssize_t put = ::pwrite(direct_->descriptor(), from.data(), step.bytes, narrow<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EINVAL) {
      refuse_direct();
      continue;
    }
    if (put <= 0) fail("write " + range_text(offset, step.bytes), path(), put < 0 ? errno : EIO);
    const auto done = static_cast<std::size_t>(put);
    direct_bytes_ += done;
    from = from.subspan(done);
    offset += done;
  }
}

void DirectFile::read_at(std::span<std::byte> to, std::uint64_t offset) {
  while (!to.empty()) {
    const auto step = next_step(to.data(), to.size(), offset);
    if (!step.direct) {
      cached_.read_at(to.first(step.bytes), offset);
      cached_bytes_ += step.bytes;
      to = to.subspan(step.bytes);
      offset += step.bytes;
      continue;
    }
    const ssize_t got = ::pread(direct_->descriptor(), to.data(), step.bytes, narrow<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EINVAL) {
      refuse_direct();
      continue;
    }
    if (got < 0) fail("read " + range_text(offset, step.bytes), path(), errno);
    if (got == 0) cached_.read_at(to.first(step.bytes), offset);  // says where the file ends
    const auto done = static_cast<std::size_t>(got == 0 ? step.bytes : static_cast<std::size_t>(got));
    direct_bytes_ += done;
    to = to.subspan(done);
    offset += done;
  }
}

void DirectFile::close() {
  if (direct_) direct_->close();
  direct_.reset();
  cached_.close();
}

}  // namespace muster::posix
