#include "mpi/comm.hpp"

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <numeric>
#include <utility>

#include "base/failpoint.hpp"
#include "base/narrow.hpp"
#include "mpi/check.hpp"
#include "mpi/wait.hpp"

namespace muster::mpi {

namespace {

constexpr std::size_t kMaxTransferBytes = std::size_t{1} << 30;  // counts are int; single calls over 2 GiB have bugs

constexpr int kMessageTag = 7001;

MPI_Comm returning_errors(MPI_Comm comm) {
  check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return comm;
}

}  // namespace

CommView::CommView(MPI_Comm comm, double timeout_s) : comm_(comm), timeout_s_(timeout_s) {
  check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

void CommView::barrier() const {
  Pending pending(*this, "MPI_Ibarrier");
  check(MPI_Ibarrier(comm_, pending.request()), "MPI_Ibarrier");
  pending.wait();
}

namespace {

void all_reduce(const CommView& comm, std::span<std::uint64_t> values, MPI_Op op) {
  if (values.empty()) return;  // of all ranks alike
  Pending pending(comm, "MPI_Iallreduce");
  auto& buffer = pending.hold(values.size_bytes());
  std::memcpy(buffer.data(), values.data(), values.size_bytes());
  check(MPI_Iallreduce(MPI_IN_PLACE, buffer.data(), narrow<int>(values.size()), MPI_UINT64_T, op, comm.handle(),
                       pending.request()),
        "MPI_Iallreduce");
  pending.wait();
  std::memcpy(values.data(), buffer.data(), values.size_bytes());
}

}  // namespace

void CommView::all_min(std::span<std::uint64_t> values) const { all_reduce(*this, values, MPI_MIN); }
void CommView::all_sum(std::span<std::uint64_t> values) const { all_reduce(*this, values, MPI_SUM); }
void CommView::all_or(std::span<std::uint64_t> values) const { all_reduce(*this, values, MPI_BOR); }

namespace {

// A few bytes may lie on a stack that is gone when a rank that is late writes to them: they travel from memory that
// outlives the request.
constexpr std::size_t kFewBytes = 4096;
std::span<std::byte> outliving(Pending& pending, std::span<std::byte> bytes) {
  if (bytes.size() > kFewBytes) return bytes;
  auto& held = pending.hold(bytes.size());
  std::ranges::copy(bytes, held.begin());
  return held;
}

}  // namespace

void CommView::broadcast(std::span<std::byte> bytes, int root) const {
  for (std::size_t done = 0; done < bytes.size(); done += kMaxTransferBytes) {
    const auto part = bytes.subspan(done, std::min(kMaxTransferBytes, bytes.size() - done));
    Pending pending(*this, "MPI_Ibcast");
    const auto memory = outliving(pending, part);
    check(MPI_Ibcast(memory.data(), narrow<int>(memory.size()), MPI_BYTE, root, comm_, pending.request()),
          "MPI_Ibcast");
    pending.wait();
    if (memory.data() != part.data()) std::ranges::copy(memory, part.begin());
  }
}

void CommView::broadcast(Bytes& bytes, int root) const {
  std::uint64_t size = bytes.size();
  broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  bytes.resize(size);
  broadcast(std::span<std::byte>(bytes), root);
}

std::vector<std::uint64_t> CommView::all_gather(std::uint64_t value) const {
  return all_gather(std::span<const std::uint64_t>(&value, 1));
}

std::vector<std::uint64_t> CommView::all_gather(std::span<const std::uint64_t> values) const {
  std::vector<std::uint64_t> all(values.size() * static_cast<std::size_t>(size_));
  if (values.empty()) return all;
  Pending pending(*this, "MPI_Iallgather");
  auto& told = pending.hold(values.size_bytes());
  std::memcpy(told.data(), values.data(), told.size());
  auto& received = pending.hold(all.size() * sizeof(std::uint64_t));
  const auto count = narrow<int>(values.size());
  check(
      MPI_Iallgather(told.data(), count, MPI_UINT64_T, received.data(), count, MPI_UINT64_T, comm_, pending.request()),
      "MPI_Iallgather");
  pending.wait();
  std::memcpy(all.data(), received.data(), received.size());
  return all;
}

namespace {

// What lies in [begin, begin + bytes) of all ranks' bytes one behind the other, as MPI's counts and displacements.
struct Window {
  std::vector<int> counts;
  std::vector<int> placements;
};

Window window_of(std::span<const std::uint64_t> sizes, std::uint64_t begin, std::uint64_t bytes) {
  Window window;
  std::uint64_t start = 0;
  for (const auto size : sizes) {
    const auto first = std::clamp(start, begin, begin + bytes);
    const auto last = std::clamp(start + size, begin, begin + bytes);
    window.counts.push_back(narrow<int>(last - first));
    window.placements.push_back(narrow<int>(first - begin));
    start += size;
  }
  return window;
}

template <class T>
T* hold_copy(Pending& pending, std::span<const T> values) {
  auto& bytes = pending.hold(values.size_bytes());
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return reinterpret_cast<T*>(bytes.data());
}

}  // namespace

// To rank 0 and from there to all. Of MPI_Iallgatherv, one call, Open MPI makes a message from every rank to every
// other: at 16384 ranks, few of which may bring anything, 2^28 messages.
Bytes CommView::all_gather(std::span<const std::byte> bytes, std::span<const std::uint64_t> sizes) const {
  const auto total = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
  Bytes all(total);
  std::uint64_t told = 0;
  for (std::uint64_t begin = 0; begin < total; begin += kMaxTransferBytes) {
    const auto part = std::span(all).subspan(begin, std::min<std::uint64_t>(kMaxTransferBytes, total - begin));
    {
      const auto window = window_of(sizes, begin, part.size());
      const auto own = narrow<std::size_t>(window.counts[static_cast<std::size_t>(rank_)]);
      Pending pending(*this, "MPI_Igatherv");
      const auto* sent = hold_copy(pending, bytes.subspan(told, own));
      const auto* counts = hold_copy(pending, std::span<const int>(window.counts));
      const auto* placements = hold_copy(pending, std::span<const int>(window.placements));
      auto& received = pending.hold(rank_ == 0 ? part.size() : 0);
      check(MPI_Igatherv(sent, narrow<int>(own), MPI_BYTE, received.data(), counts, placements, MPI_BYTE, 0, comm_,
                         pending.request()),
            "MPI_Igatherv");
      pending.wait();
      std::copy(received.begin(), received.end(), part.begin());
      told += own;
    }
    broadcast(part, 0);
  }
  return all;
}

std::vector<Bytes> CommView::gather(const Bytes& bytes) const {
  const auto sizes = all_gather(bytes.size());
  std::vector<Bytes> all;
  if (rank_ == 0) {
    for (const auto size : sizes) all.emplace_back(size);
    all[0] = bytes;
  }
  if (rank_ != 0) {
    send(bytes, 0);
    return all;
  }
  for (int sender = 1; sender < size_; ++sender) receive(all[static_cast<std::size_t>(sender)], sender);
  return all;
}

void CommView::send(std::span<const std::byte> bytes, int to) const {
  for (std::size_t done = 0; done < bytes.size(); done += kMaxTransferBytes) {
    const auto part = bytes.subspan(done, std::min(kMaxTransferBytes, bytes.size() - done));
    Pending pending(*this, "MPI_Isend");
    const auto* memory = part.size() > kFewBytes ? part.data() : hold_copy(pending, part);
    check(MPI_Isend(memory, narrow<int>(part.size()), MPI_BYTE, to, kMessageTag, comm_, pending.request()),
          "MPI_Isend");
    pending.wait();
  }
}

void CommView::receive(std::span<std::byte> bytes, int from) const {
  for (std::size_t done = 0; done < bytes.size(); done += kMaxTransferBytes) {
    const auto part = bytes.subspan(done, std::min(kMaxTransferBytes, bytes.size() - done));
    Pending pending(*this, "MPI_Irecv");
    const auto memory = outliving(pending, part);
    check(MPI_Irecv(memory.data(), narrow<int>(memory.size()), MPI_BYTE, from, kMessageTag, comm_, pending.request()),
          "MPI_Irecv");
    pending.wait();
    if (memory.data() != part.data()) std::ranges::copy(memory, part.begin());
  }
}

Comm Comm::duplicate(MPI_Comm parent) { return split(parent, 0, 0); }

Comm Comm::same_node(MPI_Comm parent) {
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_split_type(parent, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm), "MPI_Comm_split_type");
  return Comm(returning_errors(comm));
}

Comm Comm::split(MPI_Comm parent, int color, int key) {
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_split(parent, color, key, &comm), "MPI_Comm_split");
  return Comm(returning_errors(comm));
}

Comm::~Comm() {
  int finalized = 0;
  if (comm_ == MPI_COMM_NULL || MPI_Finalized(&finalized) != MPI_SUCCESS || finalized != 0) return;
  MPI_Comm_free(&comm_);
}

Comm::Comm(Comm&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}

Comm& Comm::operator=(Comm&& other) noexcept {
  std::swap(comm_, other.comm_);
  return *this;
}

std::vector<int> node_of_ranks(const CommView& comm) {
  const auto node = Comm::same_node(comm.handle());
  // The lowest world rank of the node names it.
  auto leader = static_cast<std::uint64_t>(comm.rank());
  node.view(comm.timeout_s()).all_min(std::span(&leader, 1));
  if (failpoint::is_armed("node.own")) leader = static_cast<std::uint64_t>(comm.rank());  // not for rank 0, which leads
  std::map<std::uint64_t, int> number;
  std::vector<int> nodes;
  for (const auto name : comm.all_gather(leader)) {
    const auto [entry, added] = number.try_emplace(name, static_cast<int>(number.size()));
    nodes.push_back(entry->second);
  }
  return nodes;
}

}  // namespace muster::mpi
