#pragma once
// An owner of a communicator and a borrowing view of one. Copying a view communicates nothing.
//
// Every collective here is non-blocking underneath and waited for with a deadline: a rank that never comes makes the
// others throw Error{timeout} instead of waiting for ever. After that the communicator must not be used again.

#include <mpi.h>

#include <functional>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace muster::mpi {

class CommView {
 public:
  CommView(MPI_Comm comm, double timeout_s);
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] MPI_Comm handle() const { return comm_; }
  [[nodiscard]] double timeout_s() const { return timeout_s_; }

  // All collective over the communicator where not said otherwise.
  void barrier() const;
  // Element by element, in place; every rank passes the same number of values.
  // `while_waiting`, if given, is called again and again until the others have come.
  void all_min(std::span<std::uint64_t> values, const std::function<void()>& while_waiting = {}) const;
  void all_sum(std::span<std::uint64_t> values) const;
  void all_or(std::span<std::uint64_t> values) const;  // bit by bit
  // Rank `root`'s bytes on every rank, whatever size the others passed.
  void broadcast(Bytes& bytes, int root) const;
  // The same for ranks that know the size.
  void broadcast(std::span<std::byte> bytes, int root) const;
  // From one rank to another that calls receive with the same size; only these two take part.
  void send(std::span<const std::byte> bytes, int to) const;
  void receive(std::span<std::byte> bytes, int from) const;
  // Every rank's bytes, in rank order, on rank 0; empty elsewhere.
  [[nodiscard]] std::vector<Bytes> gather(const Bytes& bytes) const;
  // Every rank's value, in rank order, on every rank.
  [[nodiscard]] std::vector<std::uint64_t> all_gather(std::uint64_t value) const;
  // Every rank's values, in rank order, on every rank; every rank passes the same number.
  [[nodiscard]] std::vector<std::uint64_t> all_gather(std::span<const std::uint64_t> values) const;
  // Every rank's bytes one behind the other, in rank order, on every rank. `sizes`: how many each rank brings, which
  // all know already.
  [[nodiscard]] Bytes all_gather(std::span<const std::byte> bytes, std::span<const std::uint64_t> sizes) const;

 private:
  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  double timeout_s_;
};

// A private duplicate of a communicator; its errors return. Move-only.
class Comm {
 public:
  // Collective over parent: the same ranks, without the topology that a parent may have (MPI-IO of Open MPI corrupts
  // files that are opened on a Cartesian communicator: open-mpi/ompi issue 12718).
  static Comm duplicate(MPI_Comm parent);
  // Collective over parent: the ranks that share memory with this one.
  static Comm same_node(MPI_Comm parent);
  // Collective over parent: the ranks that pass the same color (0 or more), numbered by their keys, then as in parent.
  static Comm split(MPI_Comm parent, int color, int key);
  ~Comm();
  Comm(Comm&& other) noexcept;
  Comm& operator=(Comm&& other) noexcept;
  Comm(const Comm&) = delete;
  Comm& operator=(const Comm&) = delete;
  // Gives the communicator up without freeing it: for one on which operations may stay in flight for ever.
  void abandon() { comm_ = MPI_COMM_NULL; }
  [[nodiscard]] CommView view(double timeout_s) const { return {comm_, timeout_s}; }

 private:
  explicit Comm(MPI_Comm comm) : comm_(comm) {}
  MPI_Comm comm_ = MPI_COMM_NULL;
};

// Collective. The node of each rank, numbered in the order of their lowest ranks.
std::vector<int> node_of_ranks(const CommView& comm);

}  // namespace muster::mpi
