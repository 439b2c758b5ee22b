#include "bench/limit.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <muster/error.hpp>
#include <optional>
#include <thread>

#include "base/aligned_memory.hpp"
#include "base/clock.hpp"
#include "base/narrow.hpp"
#include "base/posix.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{16} << 20;
// Offsets and sizes of transfers past the page cache are multiples of this.
constexpr std::uint64_t kBlockBytes = 4096;
constexpr int kMaxDepth = 4;

// Collective. O_DIRECT, or 0 if files of this directory cannot be opened with it.
int direct_flag(const mpi::CommView& comm, const std::filesystem::path& directory) {
  int flag = O_DIRECT;
  mpi::run_on_root(comm, "limit", [&] {
    const auto probe = directory / "direct.probe";
    posix::File(probe, O_CREAT | O_WRONLY).close();
    try {
      posix::File(probe, O_WRONLY | O_DIRECT).close();
    } catch (const Error&) {
      flag = 0;
    }
    posix::remove(probe);
  });
  return broadcast_json(comm, flag).get<int>();
}

// Moves bytes between memory and a file, `depth` chunks at a time, each on a thread of its own.
class RawTransfer {
 public:
  // Allocates and touches the buffers of all depths.
  RawTransfer() {
    std::uint64_t noise = 0x9E3779B97F4A7C15U;
    for (auto& buffer : buffers_) {
      // Not all alike: a device that compresses must not have it easier than with tensors.
      for (auto& byte : buffer.bytes()) {
        noise = noise * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<std::byte>(noise >> 56);
      }
    }
  }

  // move(chunk, offset), for all chunks of [offset, offset + bytes): multiples of kBlockBytes.
  void run(std::uint64_t offset, std::uint64_t bytes, int depth,
           const std::function<void(std::span<std::byte>, std::uint64_t)>& move) const {
    std::atomic<std::uint64_t> next{0};
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(depth));
    const auto work = [&](std::size_t thread) {
      try {
        for (auto at = next.fetch_add(kChunkBytes); at < bytes; at = next.fetch_add(kChunkBytes)) {
          move(buffers_[thread].bytes().first(std::min(kChunkBytes, bytes - at)), offset + at);
        }
      } catch (...) {
        failures[thread] = std::current_exception();
      }
    };
    {
      std::vector<std::jthread> others;
      for (std::size_t thread = 1; thread < failures.size(); ++thread) others.emplace_back(work, thread);
      work(0);
    }
    for (const auto& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
  }

 private:
  std::vector<AlignedMemory> buffers_ = [] {
    std::vector<AlignedMemory> buffers;
    for (int i = 0; i < kMaxDepth; ++i) buffers.emplace_back(kChunkBytes);
    return buffers;
  }();
};

std::string kind_name(const std::string& files, int flag, int depth) {
  return fmt::format("{}{}{} in flight", files, flag != 0 ? "" : "buffered, ", depth);
}

// The part of each rank, in whole blocks.
std::uint64_t rank_share(std::uint64_t bytes, int ranks) {
  const auto count = static_cast<std::uint64_t>(ranks);
  return align_up((bytes + count - 1) / count, kBlockBytes);
}

class WriteLimit : public Limit {
 public:
  WriteLimit(const mpi::CommView& comm, const std::filesystem::path& directory, std::uint64_t total_bytes,
             bool own_files_only)
      : comm_(comm),
        directory_(directory),
        rank_bytes_(rank_share(total_bytes, comm.size())),
        flag_(direct_flag(comm, directory)) {
    for (const bool shared : {false, true}) {
      if (shared && own_files_only) continue;
      for (const int depth : {1, kMaxDepth}) {
        ways_.emplace_back(shared, depth);
        kinds_.push_back(kind_name(shared ? "one shared file, " : "a file per rank, ", flag_, depth));
      }
    }
  }

  double measure(std::size_t kind) override {
    const bool shared = ways_.at(kind).first;
    const int depth = ways_.at(kind).second;
    const auto rank = static_cast<std::uint64_t>(comm_.rank());
    const auto path = directory_ / (shared ? "limit.shared" : fmt::format("limit.{}", rank));
    const bool creates = !shared || rank == 0;
    std::optional<posix::File> file;
    mpi::run_agreed(comm_, "limit", [&] {
      if (!creates) return;
      file.emplace(path, O_WRONLY | flag_ | O_CREAT | O_TRUNC);
      file->allocate((shared ? static_cast<std::uint64_t>(comm_.size()) : 1) * rank_bytes_);
      file->sync();
    });
    mpi::run_agreed(comm_, "limit", [&] {
      if (!creates) file.emplace(path, O_WRONLY | flag_);
    });
    comm_.barrier();
    const Stopwatch watch;
    double seconds = 0;
    mpi::run_agreed(comm_, "limit", [&] {
      transfer_.run(shared ? rank * rank_bytes_ : 0, rank_bytes_, depth,
                    [&](auto chunk, auto at) { file->write_at(chunk, at); });
      file->sync();
      seconds = watch.seconds();
    });
    mpi::run_agreed(comm_, "limit", [&] {
      file.reset();
      if (!creates) return;
      posix::remove(path);
      posix::sync_directory(directory_);
    });
    return max_over_ranks(comm_, seconds);
  }

 private:
  const mpi::CommView& comm_;
  std::filesystem::path directory_;
  std::uint64_t rank_bytes_;
  int flag_;
  std::vector<std::pair<bool, int>> ways_;  // one shared file; chunks in flight
  RawTransfer transfer_;
};

class ReadLimit : public Limit {
 public:
  ReadLimit(const mpi::CommView& comm, const std::filesystem::path& file)
      : comm_(comm), file_(file), flag_(direct_flag(comm, file.parent_path())) {
    for (const int depth : depths_) kinds_.push_back(kind_name("", flag_, depth));
  }

  double measure(std::size_t kind) override {
    drop_cached_pages(comm_, file_);
    std::optional<posix::File> file;
    std::uint64_t bytes = 0;
    mpi::run_agreed(comm_, "limit", [&] {
      file.emplace(file_, O_RDONLY | flag_);
      bytes = file->size() / kBlockBytes * kBlockBytes;  // the last block, if it is not whole, is left out
    });
    const auto share = rank_share(bytes, comm_.size());
    const auto first = std::min(bytes, share * static_cast<std::uint64_t>(comm_.rank()));
    comm_.barrier();
    const Stopwatch watch;
    double seconds = 0;
    mpi::run_agreed(comm_, "limit", [&] {
      transfer_.run(first, std::min(share, bytes - first), depths_.at(kind),
                    [&](auto chunk, auto at) { file->read_at(chunk, at); });
      seconds = watch.seconds();
    });
    return max_over_ranks(comm_, seconds);
  }

 private:
  const mpi::CommView& comm_;
  std::filesystem::path file_;
  int flag_;
  std::vector<int> depths_{1, kMaxDepth};
  RawTransfer transfer_;
};

}  // namespace

std::unique_ptr<Limit> write_limit(const mpi::CommView& comm, const std::filesystem::path& directory,
                                   std::uint64_t total_bytes, bool own_files_only) {
  return std::make_unique<WriteLimit>(comm, directory, total_bytes, own_files_only);
}

std::unique_ptr<Limit> read_limit(const mpi::CommView& comm, const std::filesystem::path& file) {
  return std::make_unique<ReadLimit>(comm, file);
}

void drop_cached_pages(const mpi::CommView& comm, const std::filesystem::path& file) {
  mpi::run_agreed(comm, "drop cached pages", [&] {
    const posix::File handle(file, O_RDONLY);
    handle.sync();
    const int error = ::posix_fadvise(handle.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
    if (error != 0) posix::fail("drop the cached pages of", file, error);
  });
}

}  // namespace muster::bench
