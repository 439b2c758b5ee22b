#include "mpi/node_slots.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <span>
#include <utility>

#include "base/narrow.hpp"
#include "base/poll_pause.hpp"

namespace muster::mpi {

namespace {

// False if another open file has the lock.
bool set_lock(const posix::File& file, int number, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = number;
  lock.l_len = 1;
  if (::fcntl(file.descriptor(), F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  posix::fail("lock a slot of the node in", file.path(), errno);
}

}  // namespace

NodeSlots::NodeSlots(const Team& team) {
  const auto& comm = team.comm;
  const auto node = team.node_of_rank[static_cast<std::size_t>(comm.rank())];
  const auto lowest = std::ranges::find(team.node_of_rank, node) - team.node_of_rank.begin();
  bool works = true;
  const auto attempt = [&works](auto&& work) {
    try {
      if (works) work();
    } catch (const std::exception&) {
      works = false;
    }
  };
  std::array<std::uint64_t, 3> mine{};  // process, descriptor, inode
  attempt([&] {
    if (lowest != comm.rank()) return;
    made_ = posix::File::in_memory("muster-slots");
    mine = {narrow<std::uint64_t>(::getpid()), narrow<std::uint64_t>(made_->descriptor()), made_->inode()};
  });
  const auto all = comm.all_gather(std::span<const std::uint64_t>(mine));
  attempt([&] {
    const auto* of_node = all.data() + 3 * lowest;
    file_.emplace(fmt::format("/proc/{}/fd/{}", of_node[0], of_node[1]), O_RDWR);
    works = file_->inode() == of_node[2];
  });
  std::array<std::uint64_t, 1> all_work{works ? std::uint64_t{1} : 0};
  comm.all_min(all_work);
  are_shared_ = all_work[0] == 1;
}

NodeSlots::Slot NodeSlots::take(int most, const std::function<void()>& while_waiting) const {
  if (!are_shared_) return {};
  const PollPause pause;
  for (;;) {
    for (int number = 0; number < most; ++number) {
      if (set_lock(*file_, number, F_WRLCK)) return {*file_, number};
    }
    while_waiting();
    pause.sleep();
  }
}

NodeSlots::Slot& NodeSlots::Slot::operator=(Slot&& other) noexcept {
  release();
  file_ = std::exchange(other.file_, nullptr);
  number_ = other.number_;
  return *this;
}

void NodeSlots::Slot::release() noexcept {
  if (file_ == nullptr) return;
  try {
    set_lock(*std::exchange(file_, nullptr), number_, F_UNLCK);
  } catch (const std::exception&) {
    // It goes with the open file.
  }
}

}  // namespace muster::mpi
