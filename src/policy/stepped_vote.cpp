#include "policy/stepped_vote.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <muster/error.hpp>
#include <utility>

#include "base/kept_memory.hpp"
#include "base/log.hpp"
#include "base/poll_pause.hpp"
#include "base/rank_text.hpp"
#include "mpi/check.hpp"

namespace muster::policy {

namespace {

constexpr double kLastWaitS = 1;
constexpr double kNamesS = 3;  // for those who wait to hear of each other

}  // namespace

SteppedVote::SteppedVote(MPI_Comm comm, double warn_after_s, double timeout_s)
    : owner_(mpi::Comm::duplicate(comm)),
      comm_(owner_.view(timeout_s)),
      warn_after_s_(warn_after_s),
      absent_ranks_(comm_) {}

SteppedVote::~SteppedVote() {
  if (!flight_) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0) {
    try {
      const PollPause pause;
      while (!is_over()) {
        if (pause.waited_s() > kLastWaitS) break;
        pause.sleep();
      }
      if (flight_->request == MPI_REQUEST_NULL) return;
    } catch (const std::exception&) {  // as if it did not end
    }
  }
  owner_.abandon();
  keep_until_exit(std::move(flight_));
}

bool SteppedVote::is_over() {
  int done = 0;
  mpi::check(MPI_Test(&flight_->request, &done, MPI_STATUS_IGNORE), "MPI_Iallreduce");
  return done != 0;
}

std::optional<Ballot> SteppedVote::finish() {
  if (!flight_) throw Error(ErrorKind::timeout, "should_save: an earlier call gave up waiting for other ranks");
  if (calls_ == 0) return std::nullopt;
  wait();
  // Nobody else takes in what ranks that waited have told one that never does.
  constexpr std::uint64_t kCallsBetween = 64;
  if (calls_ % kCallsBetween == 0) absent_ranks_.listen();
  return flight_->all;
}

void SteppedVote::start(const Ballot& ballot) {
  ++calls_;
  flight_->mine = ballot;
  mpi::check(MPI_Iallreduce(&flight_->mine, &flight_->all, kBallotValues, MPI_INT64_T, MPI_MAX, comm_.handle(),
                            &flight_->request),
             "MPI_Iallreduce");
}

void SteppedVote::wait() {
  constexpr int kPolls = 200;
  // Not counted in turns: next to a rank that polls without yielding, one takes milliseconds.
  constexpr double kYieldS = 0.002;
  const PollPause pause;
  for (int turn = 0; turn < kPolls || pause.waited_s() < kYieldS; ++turn) {
    if (is_over()) return;
    if (turn >= kPolls) sched_yield();
  }
  double warn_at_s = warn_after_s_;
  // As others count them: those who wait in their call n wait for ranks that did not make it.
  const auto call = calls_ + 1;
  while (!is_over()) {
    pause.sleep();
    const double waited_s = pause.waited_s();
    if (waited_s < std::min(warn_at_s, comm_.timeout_s())) continue;
    const auto absent = absent_ranks_.absent(call);
    if (waited_s >= comm_.timeout_s() + (absent ? 0 : kNamesS)) {
      owner_.abandon();
      keep_until_exit(std::move(flight_));
      throw Error(ErrorKind::timeout,
                  fmt::format("rank {}: waited {:.0f} s in should_save for {}, which did not call it", comm_.rank(),
                              waited_s, absent && !absent->empty() ? rank_text(*absent) : "other ranks"));
    }
    if (!absent || absent->empty() || waited_s < warn_at_s) continue;
    if (absent_ranks_.is_first()) {
      log_warning(
          fmt::format("should_save: waiting for {:.0f} s for {}, which did not call it", waited_s, rank_text(*absent)));
    }
    warn_at_s = 2 * waited_s;
  }
  absent_ranks_.leave();
}

}  // namespace muster::policy
