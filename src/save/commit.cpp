#include "save/commit.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "base/poll_pause.hpp"
#include "mpi/agree.hpp"
#include "save/commit_on_root.hpp"

namespace muster::save {

namespace {

// Who takes the directory over removes our part: what comes of that on any rank is not the thing to tell first.
void report_if_superseded(const SaveJob& job, SaveOutcome& outcome) {
  try {
    store::throw_if_superseded(*job.ownership);
  } catch (const Error&) {
    std::erase_if(outcome.failures, [](const RankFailure& failure) { return failure.rank == 0; });
    outcome.failures.insert(outcome.failures.begin(), mpi::failure_of(0, std::current_exception()));
  }
}

}  // namespace

Commit::Commit(const mpi::Team& team, store::Directory& directory, const store::Heartbeats& heartbeats,
               store::HeartbeatLane lane, SaveHeartbeat& heartbeat, SaveJob& job)
    : team_(team),
      directory_(directory),
      heartbeat_(heartbeat),
      job_(job),
      deadline_(heartbeats, lane, team.comm.rank(), team.comm.timeout_s()),
      extents_(extents_of_ranks(job.plan->layout)) {
  const auto mine = extents_[static_cast<std::size_t>(team.comm.rank())];
  std::vector<std::uint64_t> sizes;
  if (team.is_root()) {
    for (const auto extents : extents_) sizes.push_back(report_bytes(extents));
  }
  gather_.emplace(team.comm, pack(job.rank_report, mine), sizes);
}

bool Commit::step() {
  if (advance()) {
    const auto outcome = unpack_outcome(outcome_->bytes());
    job_.report.sequence = outcome.sequence;
    if (team_.is_root()) clean_up(outcome);
    return true;
  }
  // The others hear that this rank waits on purpose.
  if (team_.is_root()) heartbeat_.post(job_, SavePhase::publish, post_interval_s(team_.comm.timeout_s()));
  if (deadline_.is_over()) give_up();
  return false;
}

void Commit::wait() {
  // Poll first: small saves end within microseconds. Then leave the core to ranks that may share it.
  constexpr int kPolls = 200;
  constexpr double kYieldS = 0.002;
  const PollPause pause;
  for (int polls = 0; !step(); ++polls) {
    if (polls < kPolls) continue;
    if (pause.waited_s() < kYieldS) {
      sched_yield();
    } else {
      pause.sleep();
    }
  }
}

void Commit::give_up() const {
  auto missing = heartbeat_.missing(job_, SavePhase::publish);
  if (missing.empty()) missing = "all wrote their part, and rank 0 has not sent the outcome";
  throw Error(ErrorKind::timeout,
              fmt::format("rank {}: {} of {}: not all of the ranks came in time: {}: {}", team_.comm.rank(),
                          job_.in_background ? "async save" : "save", job_.options.tag, deadline_.why(), missing));
}

bool Commit::advance() {
  if (!outcome_) {
    if (!gather_->done()) return false;
    const auto outcome = team_.is_root() ? end(gather_->take()) : SaveOutcome{};
    outcome_.emplace(team_.comm, pack(outcome));
  }
  return outcome_->done();
}

// Rank 0, in the foreground. A rank that has waited for the timeout without hearing of rank 0 has given up, and has
// thrown that nothing was published.
void Commit::throw_if_others_gave_up(const std::vector<RankReport>& reports) const {
  if (job_.in_background || reports.size() == 1) return;
  const auto first = std::min_element(reports.begin() + 1, reports.end(),
                                      [](const auto& a, const auto& b) { return a.durable_ns < b.durable_ns; });
  const auto waited_s = static_cast<double>(unix_ns() - first->durable_ns) / 1e9;
  const auto silence_s = heartbeat_.longest_silence_s();
  if (std::min(waited_s, silence_s) < team_.comm.timeout_s()) return;
  throw Error(ErrorKind::timeout,
              fmt::format("rank 0: save of {}: gave no sign of life for {:.0f} s, in which the other "
                          "ranks may have given up; nothing was published",
                          job_.options.tag, silence_s));
}

// Rank 0.
SaveOutcome Commit::end(const std::vector<Bytes>& packed) {
  auto& job = job_;
  std::int64_t last_durable_ns = 0;
  SaveOutcome outcome;
  outcome.sequence = job.run.sequence;
  for (std::size_t rank = 0; rank < packed.size(); ++rank) {
    auto report = unpack_report(packed[rank], static_cast<int>(rank), extents_[rank]);
    last_durable_ns = std::max(last_durable_ns, report.durable_ns);
    if (report.failure) {
      if (outcome.failures.empty()) outcome.phase = report.phase;
      outcome.failures.push_back(*report.failure);
    }
    reports_.push_back(std::move(report));
  }
  if (outcome.failures.empty()) {
    throw_if_others_gave_up(reports_);
    try {
      failpoint::pass("save.publish");
      publish_save(job, reports_);
      job.part_may_exist = false;
      outcome.publish_s = static_cast<double>(unix_ns() - last_durable_ns) / 1e9;
    } catch (...) {
      outcome.phase = SavePhase::publish;
      outcome.failures.push_back(mpi::failure_of(0, std::current_exception()));
    }
  }
  if (!outcome.failures.empty()) report_if_superseded(job, outcome);
  if (!outcome.failures.empty()) job.drop_part();
  return outcome;
}

// Rank 0, when the others need not wait for it any more.
void Commit::clean_up(const SaveOutcome& outcome) {
  if (outcome.failures.empty()) retire_old_tags(job_, directory_);
  job_.reservation.reset();
  note_in_history(directory_.path(), job_, reports_, outcome);
}

std::exception_ptr Commit::failure() const {
  auto outcome = unpack_outcome(outcome_->bytes());
  if (outcome.failures.empty()) return nullptr;
  if (job_.in_background) {
    for (auto& failure : outcome.failures) {
      failure.message = "async save of " + job_.options.tag + ": " + failure.message;
    }
  }
  return std::make_exception_ptr(CollectiveError(std::string(name(outcome.phase)), std::move(outcome.failures)));
}

}  // namespace muster::save
