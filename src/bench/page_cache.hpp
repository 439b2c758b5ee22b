#pragma once
// Making a file cold: what is read next comes from the device.

#include <filesystem>
#include <string>

#include "mpi/comm.hpp"

namespace muster::bench {

class PageCache {
 public:
  // Collective. Finds out what this process may do.
  explicit PageCache(const mpi::CommView& comm);
  // "drop_caches" or "posix_fadvise".
  [[nodiscard]] std::string method() const { return may_drop_all_ ? "drop_caches" : "posix_fadvise"; }
  // Collective. Writes back what is dirty, then drops the file's pages, or all pages of the node where permitted.
  void drop(const std::filesystem::path& file) const;

 private:
  const mpi::CommView& comm_;
  bool may_drop_all_ = false;
  bool leads_node_ = false;
};

}  // namespace muster::bench
