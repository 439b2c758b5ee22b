#pragma once
// Collectives that are started now and looked at later, for threads that must not wait. Every rank starts the same ones
// in the same order. Where one is dropped before it is done the memory that it works on is given up, and so must the
// communicator be.

#include <span>
#include <vector>

#include "mpi/comm.hpp"
#include "mpi/wait.hpp"

namespace muster::mpi {

// Every rank's bytes to rank 0.
class NonblockingGather {
 public:
  // sizes: on rank 0, how many bytes each rank brings; elsewhere not looked at. Borrows comm.
  NonblockingGather(const CommView& comm, std::span<const std::byte> bytes, std::span<const std::uint64_t> sizes);
  // Whether it is over on this rank; never waits.
  bool done() { return pending_.test(); }
  // Once done, in rank order on rank 0; empty elsewhere.
  [[nodiscard]] std::vector<Bytes> take() const;

 private:
  std::vector<std::uint64_t> sizes_;
  Pending pending_;
  Bytes* received_ = nullptr;
};

// Rank 0's bytes to every rank, which all know their number.
class NonblockingBroadcast {
 public:
  // bytes: on rank 0, what to say; elsewhere only their number counts. Borrows comm.
  NonblockingBroadcast(const CommView& comm, std::span<const std::byte> bytes);
  bool done() { return pending_.test(); }
  // Once done.
  [[nodiscard]] const Bytes& bytes() const { return *bytes_; }

 private:
  Pending pending_;
  Bytes* bytes_ = nullptr;
};

}  // namespace muster::mpi
