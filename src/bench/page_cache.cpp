#include "bench/page_cache.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <muster/error.hpp>

#include "base/bytes.hpp"
#include "base/posix.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

constexpr const char* kDropCaches = "/proc/sys/vm/drop_caches";

}  // namespace

PageCache::PageCache(const mpi::CommView& comm) : comm_(comm) {
  const auto nodes = mpi::node_of_ranks(comm);
  const auto rank = static_cast<std::size_t>(comm.rank());
  leads_node_ = std::find(nodes.begin(), nodes.end(), nodes[rank]) - nodes.begin() == comm.rank();
  std::array<std::uint64_t, 1> permitted{1};
  try {
    posix::File(kDropCaches, O_WRONLY).close();
  } catch (const Error&) {
    permitted[0] = 0;
  }
  comm.all_min(permitted);
  may_drop_all_ = permitted[0] == 1;
}

void PageCache::drop(const std::filesystem::path& file) const {
  mpi::run_agreed(comm_, "drop caches", [&] {
    if (!leads_node_) return;
    if (may_drop_all_) {
      ::sync();
      posix::File(kDropCaches, O_WRONLY).write_at(as_bytes("3"), 0);
      return;
    }
    const posix::File handle(file, O_RDONLY);
    handle.sync();
    const int error = ::posix_fadvise(handle.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
    if (error != 0) posix::fail("drop the cached pages of", file, error);
  });
}

}  // namespace muster::bench
