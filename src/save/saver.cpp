#include "save/saver.hpp"

#include <fcntl.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/failpoint.hpp"
#include "base/file_size_signal.hpp"
#include "base/hash.hpp"
#include "base/kept_memory.hpp"
#include "base/posix.hpp"
#include "mpi/agree.hpp"
#include "mpi/exchange.hpp"
#include "mpi/node_slot.hpp"
#include "save/publish_save.hpp"
#include "save/rank_report.hpp"
#include "save/run_description.hpp"
#include "save/save_request.hpp"
#include "store/names.hpp"
#include "store/part.hpp"
#include "store/space_release.hpp"

namespace muster::save {

Saver::Saver(const mpi::Team& team, store::Directory& directory, store::Ownership* ownership,
             const CheckpointerOptions& options, Engines engines, store::Heartbeats& board)
    : team_(team),
      directory_(directory),
      ownership_(ownership),
      engines_(std::move(engines)),
      heartbeats_(board),
      planner_(team, directory.path(), options.alignment_bytes) {}

SaveReport Saver::save(const Describe& describe, const SaveOptions& options) {
  const FileSizeSignalBlock limits_are_errors;
  SaveJob job(options);
  std::unique_ptr<engine::PartWriter> writer;
  try {
    agree(job, describe);
    plan(job);
    open(job);
    mpi::run_agreed(team_.comm, "open", [&] {
      writer = job.engine->open({team_.comm, job.part, &job.plan->layout, job.options.hints});
    });
    job.telemetry.open_s = job.end_phase("open");
    write(job, *writer);
    writer.reset();
    publish(job);
  } catch (const CollectiveError& error) {
    writer.reset();
    job.drop_part();
    throw_if_superseded(job, error);
    throw;
  } catch (...) {
    // A deadline that passed: a collective close would wait for the rank that did not come.
    if (job.engine != nullptr && job.engine->is_collective()) keep_until_exit(std::move(writer));
    writer.reset();
    job.drop_part();
    rethrow_with_missing_ranks();
  }
  fill_report(job);
  job.report.published = true;
  job.report.total_s = job.watch.seconds();
  job.report.blocked_s = job.report.total_s;
  return std::move(job.report);
}

std::shared_ptr<AsyncSave> Saver::begin(const Describe& describe, const SaveOptions& options,
                                        engine::StagingPool& pool) {
  const FileSizeSignalBlock limits_are_errors;
  auto owner = std::make_unique<SaveJob>(options);
  auto& job = *owner;  // lives in `save` later on
  std::shared_ptr<AsyncSave> save;
  try {
    agree(job, describe);
    plan(job);
    if (job.engine->is_collective()) return nullptr;
    open(job);
    auto state = *std::exchange(job.state, nullptr);
    save = std::make_shared<AsyncSave>(std::move(owner), std::move(state));
    mpi::run_agreed(team_.comm, "open", [&] {
      failpoint::pass("async.open");
      const auto& layout = job.plan->layout;
      save->write = std::make_unique<engine::StagedWrite>(job.part, layout, team_.comm.rank(),
                                                          local_shards(*job.plan, save->state), pool);
      const auto share = static_cast<double>(save->write->total_bytes()) /
                         static_cast<double>(std::max<std::uint64_t>(layout.payload_bytes, 1));
      save->write->limit_rate(static_cast<double>(options.async.write_limit_bytes_per_s) * share);
    });
    job.telemetry.open_s = job.end_phase("open");
    fill_report(job);
    return save;
  } catch (const CollectiveError& error) {
    job.drop_part();
    throw_if_superseded(job, error);
    throw;
  } catch (...) {
    job.drop_part();
    rethrow_with_missing_ranks();
  }
}

// Collective, once a phase has failed on all ranks. Who takes the directory over removes our part: what comes of that
// on any rank is not the thing to tell.
void Saver::throw_if_superseded(const SaveJob& job, const CollectiveError& error) const {
  const bool had_part = error.phase() != "agree" && error.phase() != "plan" && job.generation != 0;
  const bool may_come_of_it = error.kind() == ErrorKind::io || error.kind() == ErrorKind::not_found;
  if (!had_part || !may_come_of_it) return;
  mpi::run_on_root(team_.comm, error.phase(), [&] { store::throw_if_superseded(*ownership_); });
}

void Saver::fill_report(SaveJob& job) const {
  auto& report = job.report;
  const auto& layout = job.plan->layout;
  report.tag = job.options.tag;
  report.file = store::tag_file(directory_.path(), job.options.tag);
  report.payload_bytes = layout.payload_bytes;
  report.file_bytes = layout.file_bytes;
  report.engine = job.engine->name();
  report.engine_reason = job.plan->choice.reason;
  report.direct_bytes = job.written.direct_bytes;
  report.collective_transfers = job.written.collective_transfers;
  report.independent_transfers = job.written.independent_transfers;
}

void Saver::post(const SaveJob& job, store::SavePhase phase) {
  at_ = {.save = job.number, .phase = phase};
  heartbeats_.post(store::HeartbeatLane::foreground, at_);
}

void Saver::rethrow_with_missing_ranks() {
  try {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::timeout) throw;
    const auto missing = heartbeats_.missing(store::HeartbeatLane::foreground, at_);
    if (missing.empty()) throw;
    throw Error(error.kind(), std::string(error.what()) + ": " + missing);
  }
}

// Local: all that can be wrong with this rank's arguments, and whether they are those of the last save.
void Saver::prepare(SaveJob& job, const Describe& describe) const {
  failpoint::pass("save.agree");
  check_options(job.options);
  job.state = &describe();
  job.phase = "plan";
  failpoint::pass("save.plan");
  job.fingerprint = fingerprint(*job.state, job.options);
  job.phase = "agree";
  // What was checked once need not be checked again.
  if (!planner_.keeps(job.fingerprint)) check_state(*job.state, job.options);
  make_readable(*job.state);
  job.grid = resolve(job.options.grid, team_.comm.size());
  // With the contributions of last time; where they are not the same, planning brings them together.
  job.documents = document_texts(*job.state, job.options,
                                 team_.is_root() ? planner_.contributions(job.fingerprint) : DocumentContributions());
  if (!team_.is_root()) return;
  job.ownership = ownership_;
  job.generation = ownership_->held();
  const auto file = store::tag_file(directory_.path(), job.options.tag);
  std::error_code error;
  const bool exists = std::filesystem::exists(file, error);
  if (error) posix::fail("look for", file, error.value());
  if (!job.options.replace_existing && exists) {
    throw Error(ErrorKind::exists, file.string() + " exists already; replacing it was not asked for");
  }
}

void Saver::agree(SaveJob& job, const Describe& describe) {
  const auto& comm = team_.comm;
  job.number = ++saves_;
  post(job, store::SavePhase::agree);
  std::exception_ptr failure;
  try {
    prepare(job, describe);
  } catch (...) {
    failure = std::current_exception();
  }
  // One allreduce says all where all is well: nobody failed, the same tag and options everywhere, the plan of before.
  constexpr std::uint64_t kFailedInAgree = 0;
  constexpr std::uint64_t kFailedInPlan = 1;
  constexpr std::uint64_t kPrepared = 2;
  const auto tag = hash_bytes(as_bytes(job.options.tag));
  const auto options = hash_bytes(as_bytes(options_text(job.options)));
  const bool reusable = !failure && planner_.kept_fits(job);
  constexpr auto kOfRoot = std::numeric_limits<std::uint64_t>::max();
  std::array<std::uint64_t, 7> vote{!failure ? kPrepared : (job.phase == "plan" ? kFailedInPlan : kFailedInAgree),
                                    tag,
                                    ~tag,
                                    options,
                                    ~options,
                                    reusable ? std::uint64_t{1} : 0,
                                    team_.is_root() ? job.generation : kOfRoot};
  comm.all_min(vote);
  if (vote[0] != kPrepared) mpi::agree(comm, vote[0] == kFailedInPlan ? "plan" : "agree", failure);
  if (vote[1] != ~vote[2]) mpi::require_same(comm, "agree", "the tag", "'" + job.options.tag + "'");
  if (vote[3] != ~vote[4]) mpi::require_same(comm, "agree", "the options of the save", options_text(job.options));
  job.report.plan_reused = vote[5] == 1;
  job.generation = vote[6];
  job.telemetry.rank = comm.rank();
  job.telemetry.node = team_.node_of_rank[static_cast<std::size_t>(comm.rank())];
  job.telemetry.agree_s = job.end_phase("agree");
}

void Saver::plan(SaveJob& job) {
  post(job, store::SavePhase::plan);
  if (!job.report.plan_reused) planner_.make(job);
  job.plan = planner_.kept();
  const bool direct = job.plan->choice.engine == EngineChoice::direct;
  job.engine = (direct ? engines_.direct : engines_.collective).get();
  job.telemetry.plan_s = job.end_phase("plan");
}

std::uint64_t Saver::own() {
  std::uint64_t generation = 0;
  mpi::run_on_root(team_.comm, "open", [&] {
    directory_.create();
    generation = ownership_->claim();
  });
  team_.comm.broadcast(std::as_writable_bytes(std::span(&generation, 1)), 0);
  return generation;
}

void Saver::open(SaveJob& job) {
  const auto& comm = team_.comm;
  auto& plan = *job.plan;
  // Nothing is written before this: not for another job's directory.
  if (job.generation == 0) job.generation = own();
  job.part = store::part_file(directory_.path(), job.options.tag, job.generation);
  mpi::run_agreed(comm, "open", [&] {
    failpoint::pass("save.open");
    if (!team_.is_root()) return;
    directory_.create();
    if (!store::PartReservation::any_in(directory_.path())) directory_.clear_leftovers(job.generation);
    job.claim.emplace(job.part, directory_.next_sequence());
    job.part_may_exist = true;
    job.run = describe_run(team_, job, job.claim->sequence());
    using HeadWhen = store::PartFile::HeadWhen;
    const auto when = job.engine->is_collective() ? HeadWhen::first : HeadWhen::with_tables;
    try {
      job.part_file.emplace(job.part, plan.layout, plan.head, when);
    } catch (const Error&) {
      // There may be room as soon as removed tags are gone from the disk, too.
      if (!store::SpaceRelease::wait()) throw;
      job.part_file.emplace(job.part, plan.layout, plan.head, when);
    }
  });
  post(job, store::SavePhase::open);
  // Staging comes on top of what planning leaves behind.
  if (!job.report.plan_reused) ::malloc_trim(0);
  if (job.engine->is_collective()) {
    // A rank that does not see the file must say so before the others wait for it in a collective open.
    // MPI-IO opens more than one descriptor, and waits for ever where one rank cannot.
    mpi::run_agreed(comm, "open", [&] {
      constexpr int kDescriptors = 8;
      std::vector<posix::File> probes;
      for (int i = 0; i < kDescriptors; ++i) probes.emplace_back(job.part, O_RDWR);
    });
  }
  require_one_file(job);
}

// Ranks of several nodes may see different directories under one path, and in one of them a leftover of this name.
void Saver::require_one_file(const SaveJob& job) const {
  const auto& comm = team_.comm;
  const auto mine = mpi::run_agreed(comm, "open", [&] { return posix::File(job.part, O_WRONLY).inode(); });
  std::array<std::uint64_t, 2> inodes{mine, ~mine};
  comm.all_min(inodes);
  mpi::run_agreed(comm, "open", [&] {
    if (inodes[0] == ~inodes[1] || mine == inodes[0]) return;
    throw Error(ErrorKind::io, job.part.string() + " is not the same file on every node: the directory must be shared");
  });
}

void Saver::write(SaveJob& job, engine::PartWriter& writer) {
  const auto& comm = team_.comm;
  const auto shards = mpi::run_agreed(comm, "write", [&] {
    failpoint::pass("save.write");
    return local_shards(*job.plan, *job.state);
  });
  post(job, store::SavePhase::write);
  const auto before_write_s = job.watch.seconds();
  mpi::run_agreed(comm, "write", [&] {
    const mpi::NodeSlot turn(team_, job.engine->is_collective() ? std::nullopt : job.options.num_workers);
    job.written = writer.write(shards);
    post(job, store::SavePhase::sync);
  });
  job.report.first_byte_s = before_write_s + job.written.first_byte_s.value_or(0);
  job.telemetry.bytes = job.written.bytes;
  job.telemetry.write_s = job.end_phase("write");
  mpi::run_agreed(comm, "sync", [&] { failpoint::pass("save.sync"); });
  mpi::run_agreed(comm, "sync", [&] {
    writer.sync();
    post(job, store::SavePhase::publish);
  });
  job.telemetry.sync_s = job.end_phase("sync");
}

void Saver::publish(SaveJob& job) {
  const auto& comm = team_.comm;
  // Hashes and telemetry to rank 0, which knows from the layout whose extent is whose.
  const RankReport report{.telemetry = job.telemetry,
                          .blocked_s = job.watch.seconds(),
                          .durable_ns = unix_ns(),
                          .memcpy_bytes_per_s = 0,
                          .hashes = job.written.hashes,
                          .failure = std::nullopt,
                          .phase = {}};
  const auto told = comm.gather(pack(report, report.hashes.size()));
  std::vector<RankReport> reports;
  SaveOutcome outcome;
  mpi::run_agreed(comm, "publish", [&] { failpoint::pass("save.publish"); });
  mpi::run_on_root(comm, "publish", [&] {
    const auto extents = extents_of_ranks(job.plan->layout);
    std::int64_t last_durable_ns = 0;
    for (std::size_t rank = 0; rank < told.size(); ++rank) {
      reports.push_back(unpack_report(told[rank], static_cast<int>(rank), extents[rank]));
      last_durable_ns = std::max(last_durable_ns, reports.back().durable_ns);
    }
    publish_save(job, reports);
    outcome.publish_s = static_cast<double>(unix_ns() - last_durable_ns) / 1e9;
  });
  job.part_may_exist = false;
  std::array<std::uint64_t, 1> sequence{job.run.sequence};
  comm.all_sum(sequence);  // only rank 0 knows it
  job.report.sequence = sequence[0];
  job.end_phase("publish");
  if (team_.is_root()) {
    retire_old_tags(job, [&] {
      directory_.note(job.run);
      return job.options.num_kept_ckpts ? directory_.list() : std::vector<store::TagEntry>{};
    });
    note_in_history(directory_.path(), job, reports, outcome);
  }
  post(job, store::SavePhase::done);
}

}  // namespace muster::save
