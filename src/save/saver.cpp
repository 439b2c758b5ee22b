#include "save/saver.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <array>

#include "base/available_memory.hpp"
#include "base/failpoint.hpp"
#include "base/file_size_signal.hpp"
#include "base/hash.hpp"
#include "base/kept_memory.hpp"
#include "base/posix.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "mpi/exchange.hpp"
#include "save/commit.hpp"
#include "save/exit_guard.hpp"
#include "save/run_description.hpp"
#include "save/save_arguments.hpp"
#include "save/write_phase.hpp"
#include "store/names.hpp"
#include "store/part.hpp"
#include "store/space_release.hpp"

namespace muster::save {

namespace {

constexpr auto kForeground = store::HeartbeatLane::foreground;
constexpr auto kNone = mpi::CallHeader::kNone;

// How far a rank came in preparing its part of a save, as the header tells; the smallest counts.
enum Prepared : std::uint64_t { kFailedInAgree, kFailedInPlan, kReady };

bool may_find_it_busy(const SaveOptions& options, bool is_async) {
  return is_async && options.async.when_busy != WhenBusy::wait;
}

}  // namespace

Saver::Saver(const mpi::Team& team, store::Directory& directory, store::Ownership* ownership,
             const CheckpointerOptions& options, store::Heartbeats& heartbeats)
    : team_(team),
      run_options_(options),
      directory_(directory),
      ownership_(ownership),
      heartbeats_(heartbeats),
      heartbeat_(heartbeats, kForeground),
      planner_(team, directory.path(), options.alignment_bytes),
      header_(team.comm) {}

Saver::~Saver() {
  if (background_) background_->shut_down();
}

std::optional<BegunSave> Saver::save(const Describe& describe, const SaveOptions& options, bool is_async) {
  const FileSizeSignalBlock limits_are_errors;
  const Stopwatch called;
  if (background_) {
    background_->throw_if_out_of_step();
    if (!is_async) {
      background_->drain();
    } else if (may_find_it_busy(options, is_async)) {
      background_->poll();
    } else {
      background_->wait_until_fewer_than(static_cast<std::size_t>(std::max(options.async.max_in_flight, 1)),
                                         options.tag);
    }
  }
  const auto job = std::make_shared<SaveJob>(options, run_options_, is_async);
  job->called = called;
  try {
    agree(*job, describe);
    if (job->report.skipped) return std::nullopt;
    plan(*job);
    open(*job);
    if (job->in_background) {
      background_->start(job);
      return BegunSave{.saves = background_, .save = job};
    }
    finish(*job);
  } catch (const CollectiveError& error) {
    job->collective_write.reset();
    job->drop_part();
    throw_if_superseded(*job, error);
    throw;
  } catch (...) {
    // A deadline that passed: a collective close would wait for the rank that did not come.
    heartbeat_.end(*job, true);
    if (job->collective_write) keep_until_exit(std::move(job->collective_write));
    job->drop_part();
    rethrow_with_missing_ranks();
  }
  return BegunSave{.saves = background_, .report = std::move(job->report)};
}

void Saver::complete(const std::string& call) {
  if (background_) {
    background_->throw_if_out_of_step();
    background_->drain();
    background_->throw_if_out_of_step();
  }
  std::array<std::uint64_t, 3> values{kReady, kNone, background_ ? background_->first_failure() : kNone};
  header_.check_same_call(call, values, [this] { poll(); });
  if (values[0] != kReady) mpi::agree(team_.comm, "agree", nullptr);
  throw_failure(values[2]);
}

// Collective. What a save in the background failed with, on all ranks the same, each once: some ranks may know of it
// already, and others be about to.
void Saver::throw_failure(std::uint64_t number) {
  if (number != kNone) background_->throw_failure(number);
}

// Collective, once a phase has failed on all ranks. Who takes the directory over removes our part: what comes of that
// on any rank is not the thing to report.
void Saver::throw_if_superseded(const SaveJob& job, const CollectiveError& error) const {
  const bool may_come_of_it = error.kind() == ErrorKind::io || error.kind() == ErrorKind::not_found;
  if (job.part.empty() || !may_come_of_it) return;
  mpi::run_on_root(team_.comm, error.phase(), [&] { store::throw_if_superseded(*ownership_); });
}

void Saver::post(const SaveJob& job, SavePhase phase) {
  at_ = {.save = job.number, .phase = phase};
  heartbeats_.post(kForeground, at_);
}

void Saver::rethrow_with_missing_ranks() {
  try {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::timeout) throw;
    const auto missing = heartbeats_.missing(kForeground, at_);
    if (missing.empty() || std::string_view(error.what()).find(missing) != std::string_view::npos) throw;
    throw Error(error.kind(), std::string(error.what()) + ": " + missing);
  }
}

// Local: all that can be wrong with this rank's arguments, and whether they are those of the last save.
void Saver::prepare(SaveJob& job, const Describe& describe) const {
  failpoint::pass("save.agree");
  check_options(job.options, run_options_, job.is_async);
  job.state = &describe();
  job.phase = SavePhase::plan;
  failpoint::pass("save.plan");
  job.fingerprint = fingerprint(*job.state, job.options);
  job.phase = SavePhase::agree;
  // What was checked once need not be checked again.
  if (!planner_.has_plan_for(job.fingerprint)) check_state(*job.state, job.options);
  make_readable(*job.state);
  job.grid = resolve(run_options_.grid, team_.comm.size());
  // With the contributions of last time; if they are not the same, planning exchanges them.
  job.documents = document_texts(*job.state, job.options,
                                 team_.is_root() ? planner_.contributions(job.fingerprint) : DocumentContributions());
  if (!team_.is_root()) return;
  job.ownership = ownership_;
  job.generation = ownership_->held();
  require_free_tag(job.options);
}

void Saver::require_free_tag(const SaveOptions& options) const {
  const auto file = store::tag_file(directory_.path(), options.tag);
  std::error_code error;
  const bool exists = std::filesystem::exists(file, error);
  if (error) posix::fail("look for", file, error.value());
  if (!options.replace_existing && exists) {
    throw Error(ErrorKind::exists, file.string() + " exists already; replacing it was not asked for");
  }
}

bool Saver::has_free_slot(const SaveOptions& options) {
  return !background_ || background_->in_flight() < static_cast<std::size_t>(std::max(options.async.max_in_flight, 1));
}

void Saver::agree(SaveJob& job, const Describe& describe) {
  const auto& comm = team_.comm;
  const auto& options = job.options;
  job.number = saves_ + 1;
  post(job, SavePhase::agree);
  const bool may_begin = !may_find_it_busy(options, job.is_async) || has_free_slot(options);
  std::exception_ptr failure;
  try {
    if (may_begin) prepare(job, describe);
  } catch (...) {
    failure = std::current_exception();
  }
  // One allreduce says all if all is well: every rank makes this call, nobody failed, the same tag and options
  // everywhere, the plan of before.
  const auto tag = hash_bytes(as_bytes(options.tag));
  const auto text = options_text(options, job.is_async);
  const auto option_hash = hash_bytes(as_bytes(text));
  const bool reusable = may_begin && !failure && planner_.plan_fits(job);
  std::array<std::uint64_t, mpi::CallHeader::kValues> values{
      !failure ? kReady : (job.phase == SavePhase::plan ? kFailedInPlan : kFailedInAgree),
      team_.is_root() ? job.generation : kNone,
      background_ ? background_->first_failure() : kNone,
      tag,
      ~tag,
      option_hash,
      ~option_hash,
      reusable ? std::uint64_t{1} : 0,
      may_begin ? std::uint64_t{1} : 0};
  header_.check_same_call(job.is_async ? "save in the background" : "save", values, [this] { poll(); });
  saves_ = job.number;
  throw_failure(values[2]);
  if (values[0] != kReady) mpi::agree(comm, values[0] == kFailedInPlan ? "plan" : "agree", failure);
  if (values[3] != ~values[4]) mpi::require_same(comm, "agree", "the tag", "'" + options.tag + "'");
  if (values[5] != ~values[6]) mpi::require_same(comm, "agree", "the options of the save", text);
  if (values[8] == 0) {
    job.report.skipped = options.async.when_busy == WhenBusy::skip;
    if (job.report.skipped) return;
    mpi::run_agreed(comm, "agree", [&] {
      throw Error(ErrorKind::busy,
                  fmt::format("{} was not begun: {} in flight already", options.tag, options.async.max_in_flight));
    });
  }
  if (job.is_async) {
    prepare_background(options.async);
    background_->wait_until_fewer_than(static_cast<std::size_t>(options.async.max_in_flight), options.tag);
  }
  job.report.plan_reused = values[7] == 1;
  job.generation = values[1];
  auto& telemetry = job.rank_report.telemetry;
  telemetry.rank = comm.rank();
  telemetry.node = team_.node_of_rank[static_cast<std::size_t>(comm.rank())];
  job.end_phase(SavePhase::agree);
}

void Saver::plan(SaveJob& job) {
  post(job, SavePhase::plan);
  if (!job.report.plan_reused) planner_.make(job);
  job.plan = planner_.kept();
  job.in_background = job.is_async && !job.is_collective();
  if (job.is_async && !job.in_background) {
    job.report.warnings.push_back("saved by the call itself: async saves need the engine direct, and " +
                                  job.plan->choice.reason);
    background_->drain();
  }
  job.end_phase(SavePhase::plan);
}

void Saver::own() { claim_directory(); }

// Collective. The generation.
std::uint64_t Saver::claim_directory() {
  std::uint64_t generation = 0;
  mpi::run_on_root(team_.comm, "open", [&] {
    directory_.create();
    generation = ownership_->claim();
  });
  team_.comm.broadcast(std::as_writable_bytes(std::span(&generation, 1)), 0);
  return generation;
}

void Saver::open(SaveJob& job) {
  // Nothing is written before this: not for another job's directory.
  if (job.generation == 0) job.generation = claim_directory();
  job.part = store::part_file(directory_.path(), job.options.tag, job.generation);
  mpi::run_agreed(team_.comm, "open", [&] { open_part(job); });
  post(job, SavePhase::open);
  // Staging comes on top of what planning leaves behind.
  if (!job.report.plan_reused) ::malloc_trim(0);
  if (job.is_collective()) {
    // A rank that does not see the file must say so before the others wait for it in a collective open.
    // MPI-IO opens more than one descriptor, and waits for ever if one rank cannot.
    mpi::run_agreed(team_.comm, "open", [&] {
      constexpr int kDescriptors = 8;
      std::vector<posix::File> probes;
      for (int i = 0; i < kDescriptors; ++i) probes.emplace_back(job.part, O_RDWR);
    });
  }
  require_one_file(job);
  if (job.options.num_workers && !job.is_collective()) {
    if (!slots_) slots_ = std::make_shared<const mpi::WriterSlots>(team_);
    job.slots = slots_;
    if (!slots_->are_shared()) {
      job.report.warnings.emplace_back(
          "num_workers does not limit how many ranks write at the same time: ranks of a node cannot reach each other");
    }
  }
  mpi::run_agreed(team_.comm, "open", [&] { open_write(job); });
  job.end_phase(SavePhase::open);
  begin_report(job);
}

// Rank 0: the part file, in its full size. The others: nothing.
void Saver::open_part(SaveJob& job) {
  failpoint::pass("save.open");
  if (!team_.is_root()) return;
  auto& plan = *job.plan;
  directory_.create();
  require_free_tag(job.options);  // a save in flight may have published it since
  if (!store::PartReservation::any_in(directory_.path())) directory_.clear_leftovers(job.generation);
  job.reservation.emplace(job.part, directory_.next_sequence());
  job.part_may_exist = true;
  job.run = describe_run(team_, job, job.reservation->sequence());
  using HeadWhen = store::PartFile::HeadWhen;
  const auto when = job.is_collective() ? HeadWhen::first : HeadWhen::with_tables;
  try {
    job.part_file.emplace(job.part, plan.layout, plan.head, when);
  } catch (const Error&) {
    // There may be space as soon as removed tags are gone from the disk, too.
    if (!store::SpaceRelease::wait()) throw;
    job.part_file.emplace(job.part, plan.layout, plan.head, when);
  }
}

// What this rank writes with. Collective with the engine `collective`.
void Saver::open_write(SaveJob& job) {
  const auto& layout = job.plan->layout;
  if (job.is_collective()) {
    job.collective_write = engine::open_collective_write({team_.comm, job.part, &layout, run_options_.hints});
    return;
  }
  if (job.in_background) job.state = &(job.kept_state = *job.state);
  job.write = std::make_unique<engine::DirectWrite>(job.part, layout, team_.comm.rank(),
                                                    local_shards(*job.plan, *job.state), *pool_);
  if (!job.in_background) return;
  const auto share = static_cast<double>(job.write->total_bytes()) /
                     static_cast<double>(std::max<std::uint64_t>(layout.payload_bytes, 1));
  job.write->limit_rate(static_cast<double>(job.options.async.write_limit_bytes_per_s) * share);
}

// Ranks of several nodes may see different directories under one path, and in one of them a leftover of this name.
void Saver::require_one_file(const SaveJob& job) const {
  const auto& comm = team_.comm;
  const auto mine = mpi::run_agreed(comm, "open", [&] {
    failpoint::pass("save.open_write");
    return posix::File(job.part, O_WRONLY).inode();
  });
  std::array<std::uint64_t, 2> inodes{mine, ~mine};
  comm.all_min(inodes);
  mpi::run_agreed(comm, "open", [&] {
    if (inodes[0] == ~inodes[1] || mine == inodes[0]) return;
    throw Error(ErrorKind::io, job.part.string() + " is not the same file on every node: the directory must be shared");
  });
}

void Saver::begin_report(SaveJob& job) const {
  auto& report = job.report;
  const auto& layout = job.plan->layout;
  report.tag = job.options.tag;
  report.file = store::tag_file(directory_.path(), job.options.tag);
  report.payload_bytes = layout.payload_bytes;
  report.file_bytes = layout.file_bytes;
  report.engine = name(job.plan->choice.engine);
  report.engine_reason = job.plan->choice.reason;
}

// In the foreground: writes, and waits for the commit. No rank waits for another before that.
void Saver::finish(SaveJob& job) {
  if (job.is_collective()) {
    write_collectively(job, team_, heartbeat_);
    job.collective_write.reset();
  } else {
    job.write->on_staged([&job] { job.set_staged(); });
    write_rank(job, team_, heartbeats_, kForeground, heartbeat_);
  }
  at_ = {.save = job.number, .phase = SavePhase::publish};
  job.rank_report.blocked_s = job.called.seconds();
  failpoint::pass("save.commit");
  Commit commit(team_, directory_, heartbeats_, kForeground, heartbeat_, job);
  commit.wait();
  if (const auto failure = commit.failure()) std::rethrow_exception(failure);
  job.complete_report(true);
  job.report.blocked_s = job.report.total_s;
  post(job, SavePhase::done);
}

// ---- saves in the background

void Saver::prepare_background(const AsyncOptions& options) {
  const auto& comm = team_.comm;
  if (!background_) {
    int level = MPI_THREAD_SINGLE;
    mpi::check(MPI_Query_thread(&level), "MPI_Query_thread");
    std::array<std::uint64_t, 1> multiple{level == MPI_THREAD_MULTIPLE ? 1U : 0U};
    comm.all_min(multiple);
    background_ = mpi::run_agreed(comm, "agree", [&] {
      return std::make_shared<BackgroundSaves>(team_, directory_, heartbeats_, pool_, multiple[0] == 1);
    });
    wait_at_exit(background_);
  }
  const auto limit = options.staging_limit_bytes != 0 ? options.staging_limit_bytes : default_limit_bytes();
  pool_->set_limit(limit / engine::StagingPool::kBufferBytes);
}

// As first found: what the saves hold then is no longer available.
std::uint64_t Saver::default_limit_bytes() {
  if (default_limit_bytes_ == 0) {
    const auto node = team_.node_of_rank[static_cast<std::size_t>(team_.comm.rank())];
    const auto here = static_cast<std::uint64_t>(std::ranges::count(team_.node_of_rank, node));
    constexpr std::uint64_t kWhereUnknown = std::uint64_t{1} << 30;
    default_limit_bytes_ = available_memory_bytes().value_or(2 * here * kWhereUnknown) / 2 / here;
  }
  return default_limit_bytes_;
}

}  // namespace muster::save
