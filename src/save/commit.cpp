#include "save/commit.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "mpi/agree.hpp"
#include "save/publish_save.hpp"

namespace muster::save {

namespace {

// Who takes the directory over removes our part: what comes of that on any rank is not the thing to tell first.
void tell_if_superseded(const SaveJob& job, SaveOutcome& outcome) {
  try {
    store::throw_if_superseded(*job.ownership);
  } catch (const Error&) {
    std::erase_if(outcome.failures, [](const RankFailure& failure) { return failure.rank == 0; });
    outcome.failures.insert(outcome.failures.begin(), mpi::failure_of(0, std::current_exception()));
  }
}

}  // namespace

Commit::Commit(const mpi::Team& team, store::Directory& directory, const store::Heartbeats& board, SaveHeartbeat& posts,
               AsyncSave& save)
    : team_(team),
      directory_(directory),
      heartbeats_(board),
      heartbeat_(posts),
      save_(save),
      deadline_(board, team.comm.rank(), team.comm.timeout_s()),
      extents_(extents_of_ranks(save.job->plan->layout)) {
  const auto mine = extents_[static_cast<std::size_t>(team.comm.rank())];
  std::vector<std::uint64_t> sizes;
  if (team.is_root()) {
    for (const auto extents : extents_) sizes.push_back(report_bytes(extents));
  }
  gather_.emplace(team.comm, pack(save.report, mine), sizes);
}

bool Commit::step() {
  if (go_on()) {
    save_.job->report.sequence = unpack_outcome(outcome_->bytes()).sequence;
    return true;
  }
  // The others hear that this rank waits on purpose.
  if (team_.is_root()) heartbeat_.post(save_, store::SavePhase::publish, post_interval_s(team_.comm.timeout_s()));
  if (deadline_.is_over()) give_up();
  return false;
}

void Commit::give_up() const {
  auto missing = heartbeats_.missing(store::HeartbeatLane::background,
                                     {.save = save_.job->number, .phase = store::SavePhase::publish});
  if (missing.empty()) missing = "all wrote their part, and rank 0 has not said how it ended";
  throw Error(ErrorKind::timeout, fmt::format("rank {}: async save of {}: {}: {}", team_.comm.rank(),
                                              save_.job->options.tag, deadline_.why(), missing));
}

bool Commit::go_on() {
  if (!outcome_) {
    if (!gather_->done()) return false;
    const auto outcome = team_.is_root() ? end(gather_->take()) : SaveOutcome{};
    outcome_.emplace(team_.comm, pack(outcome));
  }
  return outcome_->done();
}

// Rank 0.
SaveOutcome Commit::end(const std::vector<Bytes>& told) {
  auto& job = *save_.job;
  std::vector<RankReport> reports;
  std::int64_t last_durable_ns = 0;
  SaveOutcome outcome;
  outcome.sequence = job.run.sequence;
  for (std::size_t rank = 0; rank < told.size(); ++rank) {
    auto report = unpack_report(told[rank], static_cast<int>(rank), extents_[rank]);
    last_durable_ns = std::max(last_durable_ns, report.durable_ns);
    if (report.failure) {
      if (outcome.failures.empty()) outcome.phase = report.phase;
      outcome.failures.push_back(*report.failure);
    }
    reports.push_back(std::move(report));
  }
  if (outcome.failures.empty()) {
    try {
      failpoint::pass("async.publish");
      publish_save(job, reports);
      job.part_may_exist = false;
      outcome.publish_s = static_cast<double>(unix_ns() - last_durable_ns) / 1e9;
    } catch (...) {
      outcome.phase = "publish";
      outcome.failures.push_back(mpi::failure_of(0, std::current_exception()));
    }
  }
  if (!outcome.failures.empty()) tell_if_superseded(job, outcome);
  if (outcome.failures.empty()) {
    retire_old_tags(job, [&] {
      directory_.note(job.run);
      return directory_.known();
    });
  } else {
    job.drop_part();
  }
  job.claim.reset();
  note_in_history(directory_.path(), job, reports, outcome);
  return outcome;
}

std::exception_ptr Commit::failure() const {
  auto outcome = unpack_outcome(outcome_->bytes());
  if (outcome.failures.empty()) return nullptr;
  for (auto& failure : outcome.failures)
    failure.message = "async save of " + save_.job->options.tag + ": " + failure.message;
  return std::make_exception_ptr(CollectiveError(outcome.phase, std::move(outcome.failures)));
}

}  // namespace muster::save
