#pragma once
// The raw limit of a save: preallocated files, written in chunks past the page cache, then fsync.

#include <filesystem>

#include "bench/limit.hpp"
#include "bench/raw_transfer.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

class WriteLimit : public Limit {
 public:
  // Collective. `total_bytes` are shared out evenly over the ranks. With own_files_only, the kinds with one file for
  // all ranks are left out.
  WriteLimit(const mpi::CommView& comm, std::filesystem::path directory, std::uint64_t total_bytes,
             bool own_files_only);

  [[nodiscard]] const std::vector<std::string>& kinds() const override { return names_; }
  double measure(std::size_t kind) override;

 private:
  struct Kind {
    bool shared = false;
    int depth = 1;
  };
  const mpi::CommView& comm_;
  std::filesystem::path directory_;
  std::uint64_t rank_bytes_;
  int open_flags_ = 0;
  std::vector<Kind> kinds_;
  std::vector<std::string> names_;
  RawTransfer transfer_;
};

}  // namespace muster::bench
