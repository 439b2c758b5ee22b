#include "load/node_buffers.hpp"

#include <array>
#include <cstdint>
#include <muster/error.hpp>

#include "base/failpoint.hpp"

namespace muster::load {

NodeBuffers::NodeBuffers(const mpi::Team& team, std::size_t bytes) {
  const auto& comm = team.comm;
  bool works = true;
  const auto attempt = [&works](auto&& work) {
    try {
      if (works) work();
    } catch (const std::exception&) {
      works = false;  // messages do it too
    }
  };
  attempt([&] {
    failpoint::pass("load.share");
    others_.resize(static_cast<std::size_t>(comm.size()));
    if (bytes > 0) own_ = SharedMemory::create(bytes);
  });
  const auto& [process, descriptor, token, size] = own_.address();
  const std::array<std::uint64_t, 4> mine{process, descriptor, token, size};
  const auto told = comm.all_gather(std::span<const std::uint64_t>(mine));
  attempt([&] {
    const auto own_rank = static_cast<std::size_t>(comm.rank());
    for (std::size_t rank = 0; rank < others_.size(); ++rank) {
      const SharedMemoryAddress address{told[4 * rank], told[4 * rank + 1], told[4 * rank + 2], told[4 * rank + 3]};
      if (rank == own_rank || address.bytes == 0 || team.node_of_rank[rank] != team.node_of_rank[own_rank]) continue;
      others_[rank] = SharedMemory::open(address);
    }
  });
  std::array<std::uint64_t, 1> vote{works ? std::uint64_t{1} : 0};
  comm.all_min(vote);
  are_shared_ = vote[0] == 1;
  if (are_shared_) return;
  own_ = {};
  others_.clear();
}

}  // namespace muster::load
