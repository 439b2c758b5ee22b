#pragma once
// The raw limit of a load: every rank reads its part of the same cold file in chunks past the page cache.

#include <filesystem>

#include "bench/limit.hpp"
#include "bench/page_cache.hpp"
#include "bench/raw_transfer.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

class ReadLimit : public Limit {
 public:
  // Collective. `cache` must outlive it.
  ReadLimit(const mpi::CommView& comm, const PageCache& cache, std::filesystem::path file);

  [[nodiscard]] const std::vector<std::string>& kinds() const override { return names_; }
  double measure(std::size_t kind) override;

 private:
  const mpi::CommView& comm_;
  const PageCache& cache_;
  std::filesystem::path file_;
  int open_flags_ = 0;
  std::uint64_t first_byte_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<int> depths_{1, kMaxDepth};
  std::vector<std::string> names_;
  RawTransfer transfer_;
};

}  // namespace muster::bench
