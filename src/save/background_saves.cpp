#include "save/background_saves.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "base/all_signals_block.hpp"
#include "base/failpoint.hpp"
#include "base/file_size_signal.hpp"
#include "base/log.hpp"
#include "base/narrow.hpp"
#include "engine/memcpy_speed.hpp"
#include "save/write_phase.hpp"

namespace muster::save {

namespace {

// Long enough to cost nothing, short enough for a tag to be published soon after the last rank is ready.
constexpr auto kCommitPause = std::chrono::milliseconds(1);

constexpr auto kLane = store::HeartbeatLane::background;

// Of a rank's share of the node: with fewer left idle a copy of the state takes time from the program.
constexpr double kIdleCores = 0.5;

int ranks_here(const mpi::Team& team) {
  const auto node = team.node_of_rank[static_cast<std::size_t>(team.comm.rank())];
  return narrow<int>(std::ranges::count(team.node_of_rank, node));
}

// On the thread that calls it; names show in `top -H` and in debuggers.
void name_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace

BackgroundSaves::BackgroundSaves(const mpi::Team& team, store::Directory& directory, store::Heartbeats& heartbeats,
                                 std::shared_ptr<engine::StagingPool> pool, bool commits_in_background)
    : comm_(mpi::Comm::duplicate(team.comm.handle())),
      team_{comm_->view(team.comm.timeout_s()), team.node_of_rank},
      directory_(directory),
      heartbeats_(heartbeats),
      heartbeat_(heartbeats, kLane),
      commits_in_background_(commits_in_background),
      pool_(std::move(pool)),
      memcpy_bytes_per_s_(engine::memcpy_bytes_per_s(*pool_)),
      core_use_(ranks_here(team)) {
  const AllSignalsBlock while_threads_start;
  writer_ = std::thread([this] { run_writer_thread(); });
  try {
    stager_ = std::thread([this] { run_stager_thread(); });
  } catch (...) {
    stop_threads();
    throw;
  }
}

BackgroundSaves::~BackgroundSaves() { shut_down(); }

void BackgroundSaves::shut_down() {
  if (shut_down_) return;
  shut_down_ = true;
  try {
    // While an exception is under way this rank may be the only one that comes here.
    if (!out_of_step_failure() && (commits_in_background_ || std::uncaught_exceptions() == 0)) drain();
  } catch (const std::exception& error) {
    log_warning(error.what());
  }
  for (const auto& save : all_in_flight()) {
    log_warning("the async save of " + save->options.tag +
                " was in flight when its Checkpointer went, and is lost; call finalize() before");
    const auto gone = std::make_exception_ptr(Error(ErrorKind::internal, "its Checkpointer is gone"));
    // Rank 0 may publish one that it has heard all about.
    const bool has_told = !commits_in_background_ && commit_;
    mark_out_of_step(*save, gone, !has_told);
    save->write->give_up(out_of_step_failure());
  }
  stop_threads();
  const auto left = all_in_flight();
  for (const auto& save : left) {
    save->write.reset();  // its buffers are of the pool
    save->drop_part();
    save->set_ended(out_of_step_failure());
  }
  tell_unseen_failures();
  // What another rank may still wait for cannot be taken back.
  if (commit_ || lost_ || !left.empty()) comm_->abandon();
  commit_.reset();
  comm_.reset();
  pool_->trim();
}

void BackgroundSaves::tell_unseen_failures() {
  const std::lock_guard lock(mutex_);
  failures_.log_unseen();
}

void BackgroundSaves::complete_at_exit() {
  if (shut_down_) return;  // a handle of the program's may outlive the Checkpointer
  try {
    if (!out_of_step_failure()) drain();
  } catch (const std::exception& error) {
    log_warning(error.what());
  }
  if (out_of_step_failure()) give_up_all();
  tell_unseen_failures();
}

// No other rank is waited for: what is in flight is given up, and cleaned up by the threads that have it.
void BackgroundSaves::give_up_all() {
  const auto left = all_in_flight();
  for (const auto& save : left) save->write->give_up(out_of_step_failure());
  const Stopwatch watch;
  for (const auto& save : left) {
    poll();
    while (!save->wait_ended(0.001) && watch.seconds() < team_.comm.timeout_s()) poll();
  }
}

void BackgroundSaves::stop_threads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  writer_.join();
  if (stager_.joinable()) stager_.join();
}

void BackgroundSaves::start(const std::shared_ptr<SaveJob>& save) {
  const bool overlap = save->options.async.overlap_staging;
  const bool writes = overlap && uses_write_through(*save);
  save->begun = save->report;
  save->blocked_s = save->called.seconds();
  save->write->on_staged([&staged = *save, overlap] {
    staged.kept_state = {};  // a handle may live long, and what the program gave must not live with it
    if (!overlap) staged.blocked_s = staged.called.seconds();
    staged.set_staged();
  });
  if (writes) save->write->write_through();
  {
    const std::lock_guard lock(mutex_);
    in_flight_.push_back(save);
    to_write_.push_back(save);
    if (overlap && !writes) to_stage_.push_back(save);
  }
  changed_.notify_all();
  if (!overlap) stage(*save);
}

// Whether the save is to be written straight from the state rather than copied first.
bool BackgroundSaves::uses_write_through(const SaveJob& save) {
  const auto wanted = save.options.async.overlap;
  // Of the first save nothing is known but what the program did to begin it.
  const bool is_first = save.number == first_save_.value_or(save.number);
  if (is_first) first_save_ = save.number;
  const bool is_busy = core_use_.idle_cores() < kIdleCores && !is_first;
  if (wanted != Overlap::automatic) return wanted == Overlap::writing;
  return is_busy && save.write->is_in_host_memory();
}

// One after the other, in the order of the saves: two that are copied at once could each hold buffers that the other
// waits for.
void BackgroundSaves::stage(const SaveJob& save) {
  for (const auto& each : all_in_flight()) {
    if (save.is_staged()) return;
    if (!each->is_staged()) stage_rank(*each);
  }
}

std::deque<std::shared_ptr<SaveJob>> BackgroundSaves::all_in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_;
}

void BackgroundSaves::run_stager_thread() {
  name_thread("muster-stage");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !to_stage_.empty(); });
    if (to_stage_.empty()) return;
    const auto save = to_stage_.front();
    to_stage_.pop_front();
    lock.unlock();
    stage(*save);
    lock.lock();
  }
}

void BackgroundSaves::run_writer_thread() {
  name_thread("muster-save");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !to_write_.empty(); });
    if (to_write_.empty()) return;
    const auto save = to_write_.front();
    to_write_.pop_front();
    lock.unlock();
    if (const auto lost = out_of_step_failure()) save->write->give_up(lost);
    save->rank_report.memcpy_bytes_per_s = memcpy_bytes_per_s_;
    write_rank(*save, team_, heartbeats_, kLane, heartbeat_);
    if (!commits_in_background_) {
      lock.lock();
      to_commit_.push_back(save);
      changed_.notify_all();
      continue;
    }
    std::exception_ptr failure;
    try {
      commit(*save);
      failure = commit_->failure();
      commit_.reset();
    } catch (...) {
      failure = std::current_exception();
      mark_out_of_step(*save, failure);
    }
    finish(save, failure);
    lock.lock();
  }
}

// On the background thread.
void BackgroundSaves::commit(SaveJob& save) {
  begin_commit(save);
  while (!advance_commit()) std::this_thread::sleep_for(kCommitPause);
}

void BackgroundSaves::begin_commit(SaveJob& save) {
  throw_if_out_of_step();
  failpoint::pass("save.commit");
  commit_.emplace(team_, directory_, heartbeats_, kLane, heartbeat_, save);
}

// False where it goes on.
bool BackgroundSaves::advance_commit() {
  throw_if_out_of_step();  // the program's thread may have given up, and may be about to end MPI
  return commit_->step();
}

void BackgroundSaves::mark_out_of_step(const SaveJob& save, const std::exception_ptr& failure, bool notify) {
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return;
    lost_ = failure;
  }
  heartbeat_.end(save, notify);
}

void BackgroundSaves::finish(const std::shared_ptr<SaveJob>& save, std::exception_ptr failure) {
  auto& job = *save;
  job.drop_part();  // if no commit did
  job.complete_report(failure == nullptr);
  heartbeat_.post(*save, SavePhase::done);
  {
    // At once for all that may look: what has ended is not in flight.
    const std::lock_guard lock(mutex_);
    std::erase(in_flight_, save);
    if (failure) failures_.add(job.number, failure);
    save->set_ended(failure);
  }
  changed_.notify_all();
}

std::size_t BackgroundSaves::in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_.size();
}

std::exception_ptr BackgroundSaves::out_of_step_failure() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void BackgroundSaves::throw_if_out_of_step() const {
  if (const auto lost = out_of_step_failure()) std::rethrow_exception(lost);
}

void BackgroundSaves::note_seen(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  failures_.note_seen(number);
}

bool BackgroundSaves::poll() {
  while (!commits_in_background_) {
    std::shared_ptr<SaveJob> save;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || to_commit_.empty()) break;
      save = to_commit_.front();
    }
    std::exception_ptr failure;
    try {
      const FileSizeSignalBlock limits_are_errors;
      if (!commit_) begin_commit(*save);
      if (!advance_commit()) break;
      failure = commit_->failure();
      commit_.reset();
    } catch (...) {
      failure = std::current_exception();
      mark_out_of_step(*save, failure);
    }
    {
      const std::lock_guard lock(mutex_);
      to_commit_.pop_front();
    }
    finish(save, failure);
  }
  return in_flight() > 0;
}

void BackgroundSaves::wait_for(const SaveJob& save) {
  // The commit has its own deadline; this one is for a write that does not go on, on this rank.
  Stopwatch since_progress;
  std::optional<Writing> seen;
  for (;;) {
    poll();
    constexpr double kPauseS = 0.001;
    if (save.wait_ended(commits_in_background_ ? 0.1 : kPauseS)) return;
    const auto now = writing();
    if (!now || now != seen) since_progress = Stopwatch();
    seen = now;
    if (since_progress.seconds() < team_.comm.timeout_s()) continue;
    const auto failure = std::make_exception_ptr(Error(
        ErrorKind::timeout, fmt::format("rank {}: the async save of {} has not gone on for {:.0f} s: its write, or "
                                        "that of one before it, stands still on this rank",
                                        team_.comm.rank(), save.options.tag, since_progress.seconds())));
    mark_out_of_step(save, failure);
    std::rethrow_exception(failure);
  }
}

// Of the oldest save in flight, which those behind it wait for; nothing where this rank's part of it is done.
std::optional<BackgroundSaves::Writing> BackgroundSaves::writing() const {
  const std::lock_guard lock(mutex_);
  if (in_flight_.empty() || in_flight_.front()->is_written) return std::nullopt;
  const auto& first = *in_flight_.front();
  return Writing{.save = first.number, .signs_of_life = first.write->signs_of_life()};
}

void BackgroundSaves::wait_until_fewer_than(std::size_t saves, const std::string& tag) {
  for (;;) {
    std::shared_ptr<SaveJob> first;
    {
      const std::lock_guard lock(mutex_);
      const bool same_tag = std::ranges::any_of(in_flight_, [&](const auto& save) { return save->options.tag == tag; });
      if (in_flight_.size() < saves && !same_tag) return;
      first = in_flight_.front();
    }
    wait_for(*first);
  }
}

std::uint64_t BackgroundSaves::first_failure() const {
  const std::lock_guard lock(mutex_);
  return failures_.first_unseen();
}

void BackgroundSaves::throw_failure(std::uint64_t number) {
  for (;;) {
    std::shared_ptr<SaveJob> save;
    {
      const std::lock_guard lock(mutex_);
      failures_.throw_failure(number);
      if (in_flight_.empty()) throw Error(ErrorKind::internal, "an async save failed on other ranks, and not here");
      save = in_flight_.front();
    }
    wait_for(*save);
  }
}

}  // namespace muster::save
