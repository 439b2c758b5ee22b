#include "mpi/wait.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <muster/error.hpp>
#include <utility>

#include "base/kept_memory.hpp"
#include "base/poll_pause.hpp"
#include "mpi/check.hpp"
#include "mpi/comm.hpp"

namespace muster::mpi {

Pending::Pending(const CommView& comm, const char* call)
    : comm_(comm),
      call_(call),
      request_(std::make_unique<MPI_Request>(MPI_REQUEST_NULL)),
      held_(std::make_unique<std::list<Bytes>>()) {}

Pending::~Pending() {
  if (*request_ == MPI_REQUEST_NULL) return;
  // Left by an exception: MPI may still use both.
  keep_until_exit(std::move(request_));
  keep_until_exit(std::move(held_));
}

Bytes& Pending::hold(std::size_t bytes) { return held_->emplace_back(bytes); }

bool Pending::test() {
  int done = 0;
  check(MPI_Test(request_.get(), &done, MPI_STATUS_IGNORE), call_);
  return done != 0;
}

void Pending::wait(const std::function<void()>& while_waiting) {
  // Poll first: most answers come within microseconds. Then leave the core to ranks that may share it.
  constexpr int kPolls = 200;
  // Not counted in turns: next to a rank that polls without yielding, one takes milliseconds.
  constexpr double kYieldS = 0.002;
  const PollPause pause;
  for (long long turn = 0;; ++turn) {
    if (test()) return;
    if (turn < kPolls) continue;
    if (while_waiting) while_waiting();
    if (pause.waited_s() < kYieldS) {
      sched_yield();
      continue;
    }
    pause.sleep();
    if (pause.waited_s() > comm_.timeout_s()) {
      throw Error(ErrorKind::timeout,
                  fmt::format("rank {}: waited {:.0f} s for the other ranks in {}; not all of them came", comm_.rank(),
                              pause.waited_s(), call_));
    }
  }
}

}  // namespace muster::mpi
