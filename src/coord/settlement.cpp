#include "coord/settlement.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "coord/publish_save.hpp"
#include "mpi/agree.hpp"

namespace muster::coord {

namespace {

// Who takes the directory over removes our part: what comes of that on any rank is not the thing to tell first.
void tell_if_superseded(const SaveJob& job, Verdict& verdict) {
  try {
    store::throw_if_superseded(*job.ownership);
  } catch (const Error&) {
    std::erase_if(verdict.failures, [](const RankFailure& failure) { return failure.rank == 0; });
    verdict.failures.insert(verdict.failures.begin(), mpi::failure_of(0, std::current_exception()));
  }
}

}  // namespace

Settlement::Settlement(const Team& team, store::Directory& directory, const store::ProgressBoard& board,
                       SavePosts& posts, AsyncSave& save)
    : team_(team),
      directory_(directory),
      board_(board),
      posts_(posts),
      save_(save),
      patience_(board, team.comm.rank(), team.comm.timeout_s()),
      extents_(extents_of_ranks(save.job->plan->layout)) {
  const auto mine = extents_[static_cast<std::size_t>(team.comm.rank())];
  std::vector<std::uint64_t> sizes;
  if (team.is_root()) {
    for (const auto extents : extents_) sizes.push_back(tale_bytes(extents));
  }
  gather_.emplace(team.comm, pack(save.tale, mine), sizes);
}

bool Settlement::step() {
  if (go_on()) {
    save_.job->report.sequence = unpack_verdict(verdict_->bytes()).sequence;
    return true;
  }
  // The others hear that this rank waits on purpose.
  if (team_.is_root()) posts_.post(save_, store::ProgressPhase::publish, post_interval_s(team_.comm.timeout_s()));
  if (patience_.is_over()) give_up();
  return false;
}

void Settlement::give_up() const {
  auto missing = board_.missing(store::ProgressLane::background,
                                {.save = save_.job->number, .phase = store::ProgressPhase::publish});
  if (missing.empty()) missing = "all wrote their part, and rank 0 has not said how it ended";
  throw Error(ErrorKind::timeout, fmt::format("rank {}: async save of {}: {}: {}", team_.comm.rank(),
                                              save_.job->options.tag, patience_.why(), missing));
}

bool Settlement::go_on() {
  if (!verdict_) {
    if (!gather_->done()) return false;
    const auto verdict = team_.is_root() ? end(gather_->take()) : Verdict{};
    verdict_.emplace(team_.comm, pack(verdict));
  }
  return verdict_->done();
}

// Rank 0.
Verdict Settlement::end(const std::vector<Bytes>& told) {
  auto& job = *save_.job;
  std::vector<RankTale> tales;
  std::int64_t last_durable_ns = 0;
  Verdict verdict;
  verdict.sequence = job.run.sequence;
  for (std::size_t rank = 0; rank < told.size(); ++rank) {
    auto tale = unpack_tale(told[rank], static_cast<int>(rank), extents_[rank]);
    last_durable_ns = std::max(last_durable_ns, tale.durable_ns);
    if (tale.failure) {
      if (verdict.failures.empty()) verdict.phase = tale.phase;
      verdict.failures.push_back(*tale.failure);
    }
    tales.push_back(std::move(tale));
  }
  if (verdict.failures.empty()) {
    try {
      failpoint::pass("async.publish");
      publish_save(job, tales);
      job.part_may_exist = false;
      verdict.publish_s = static_cast<double>(unix_ns() - last_durable_ns) / 1e9;
    } catch (...) {
      verdict.phase = "publish";
      verdict.failures.push_back(mpi::failure_of(0, std::current_exception()));
    }
  }
  if (!verdict.failures.empty()) tell_if_superseded(job, verdict);
  if (verdict.failures.empty()) {
    retire_old_tags(job, [&] {
      directory_.note(job.run);
      return directory_.known();
    });
  } else {
    job.drop_part();
  }
  job.claim.reset();
  note_in_history(directory_.path(), job, tales, verdict);
  return verdict;
}

std::exception_ptr Settlement::failure() const {
  auto verdict = unpack_verdict(verdict_->bytes());
  if (verdict.failures.empty()) return nullptr;
  for (auto& failure : verdict.failures)
    failure.message = "async save of " + save_.job->options.tag + ": " + failure.message;
  return std::make_exception_ptr(CollectiveError(verdict.phase, std::move(verdict.failures)));
}

}  // namespace muster::coord
