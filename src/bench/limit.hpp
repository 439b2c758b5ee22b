#pragma once
// The raw limit that a thing is compared with: the same bytes, the same ranks, in blocks of 16 MiB past the page cache,
// and nothing but the device.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::bench {

class Limit {
 public:
  virtual ~Limit() = default;
  // The ways in which the limit can be reached; the same on all ranks.
  [[nodiscard]] const std::vector<std::string>& kinds() const { return kinds_; }
  // Collective. Seconds of one way, the slowest rank's, on every rank. Leaves nothing behind.
  virtual double measure(std::size_t kind) = 0;

 protected:
  std::vector<std::string> kinds_;
};

// Collective. Preallocated files, written, then fsync. With own_files_only the kinds with one file for all ranks are
// left out. `comm` must outlive the limit, here and below.
std::unique_ptr<Limit> write_limit(const mpi::CommView& comm, const std::filesystem::path& directory,
                                   std::uint64_t total_bytes, bool own_files_only);

// Collective. Every rank reads its part of the same cold file.
std::unique_ptr<Limit> read_limit(const mpi::CommView& comm, const std::filesystem::path& file);

// Collective. Writes back what is dirty of a file, then drops its pages: what is read next comes from the device.
void drop_cached_pages(const mpi::CommView& comm, const std::filesystem::path& file);

}  // namespace muster::bench
