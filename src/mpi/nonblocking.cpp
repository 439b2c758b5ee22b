#include "mpi/nonblocking.hpp"

#include <algorithm>
#include <cstring>

#include "base/narrow.hpp"
#include "mpi/check.hpp"

namespace muster::mpi {

NonblockingGather::NonblockingGather(const CommView& comm, std::span<const std::byte> bytes,
                                     std::span<const std::uint64_t> sizes)
    : pending_(comm, "MPI_Igatherv") {
  int* counts = nullptr;
  int* placements = nullptr;
  std::uint64_t total = 0;
  if (comm.rank() == 0) {
    sizes_.assign(sizes.begin(), sizes.end());
    counts = reinterpret_cast<int*>(pending_.hold(sizes.size() * sizeof(int)).data());
    placements = reinterpret_cast<int*>(pending_.hold(sizes.size() * sizeof(int)).data());
    for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
      counts[rank] = narrow<int>(sizes[rank]);
      placements[rank] = narrow<int>(total);
      total += sizes[rank];
    }
  }
  auto& sent = pending_.hold(bytes.size());
  std::ranges::copy(bytes, sent.begin());
  received_ = &pending_.hold(total);
  check(MPI_Igatherv(sent.data(), narrow<int>(sent.size()), MPI_BYTE, received_->data(), counts, placements, MPI_BYTE,
                     0, comm.handle(), pending_.request()),
        "MPI_Igatherv");
}

std::vector<Bytes> NonblockingGather::take() const {
  std::vector<Bytes> all;
  auto place = received_->begin();
  for (const auto size : sizes_) {
    const auto end = place + narrow<std::ptrdiff_t>(size);
    all.emplace_back(place, end);
    place = end;
  }
  return all;
}

NonblockingBroadcast::NonblockingBroadcast(const CommView& comm, std::span<const std::byte> bytes)
    : pending_(comm, "MPI_Ibcast"), bytes_(&pending_.hold(bytes.size())) {
  std::ranges::copy(bytes, bytes_->begin());
  check(MPI_Ibcast(bytes_->data(), narrow<int>(bytes_->size()), MPI_BYTE, 0, comm.handle(), pending_.request()),
        "MPI_Ibcast");
}

}  // namespace muster::mpi
