#include "mpi/wait.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <chrono>
#include <muster/error.hpp>
#include <thread>

#include "base/clock.hpp"
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
  static_cast<void>(request_.release());
  static_cast<void>(held_.release());
}

Bytes& Pending::hold(std::size_t bytes) { return held_->emplace_back(bytes); }

bool Pending::test() {
  int done = 0;
  check(MPI_Test(request_.get(), &done, MPI_STATUS_IGNORE), call_);
  return done != 0;
}

void Pending::wait() {
  // Poll first: most answers come within microseconds. Then leave the core to ranks that may share it.
  constexpr int kPolls = 200;
  // Not counted in turns: next to a rank that polls without yielding, one takes milliseconds.
  constexpr double kYieldS = 0.002;
  const Stopwatch since;
  for (long long turn = 0;; ++turn) {
    if (test()) return;
    if (turn < kPolls) continue;
    if (since.seconds() < kYieldS) {
      sched_yield();
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (since.seconds() > comm_.timeout_s()) {
      throw Error(ErrorKind::timeout,
                  fmt::format("rank {}: waited {:.0f} s for the other ranks in {}; not all of them came", comm_.rank(),
                              since.seconds(), call_));
    }
  }
}

}  // namespace muster::mpi
