#pragma once
// At most so many ranks of a node do something at the same time. Works on threads that may not call MPI.

#include <functional>
#include <optional>
#include <utility>

#include "base/posix.hpp"
#include "mpi/team.hpp"

namespace muster::mpi {

// Slots that the ranks of a node share: byte locks of one file in memory, which the system releases however a process
// ends.
class NodeSlots {
 public:
  // Collective over team.comm. If the ranks of any node cannot reach each other's files (they run in containers of
  // their own), are_shared() is false on all ranks, and no rank ever waits for a slot.
  explicit NodeSlots(const Team& team);
  [[nodiscard]] bool are_shared() const { return are_shared_; }

  // One slot, released with the object.
  class Slot {
   public:
    Slot() = default;
    Slot(const posix::File& file, int number) : file_(&file), number_(number) {}
    ~Slot() { release(); }
    Slot(Slot&& other) noexcept : file_(std::exchange(other.file_, nullptr)), number_(other.number_) {}
    Slot& operator=(Slot&& other) noexcept;
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    void release() noexcept;
    const posix::File* file_ = nullptr;
    int number_ = 0;
  };
  // Local. Waits until this rank has one of the first `most` slots of its node; a rank has one at a time.
  // `while_waiting` is called again and again meanwhile; what it throws ends the wait. Throws Error{io}.
  Slot take(int most, const std::function<void()>& while_waiting) const;

 private:
  bool are_shared_ = false;
  std::optional<posix::File> made_;  // on the lowest rank of each node
  std::optional<posix::File> file_;  // opened by this rank alone: locks belong to the open file
};

}  // namespace muster::mpi
