#include "save/rank_write.hpp"

#include <fmt/format.h>

#include <string_view>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "mpi/agree.hpp"
#include "save/progress_deadline.hpp"

namespace muster::save {

namespace {

using store::SavePhase;

// A slot of the node. Whoever has one may take long, so the wait ends only when no progress is heard of any more.
mpi::NodeSlots::Slot wait_for_slot(const SaveJob& job, const mpi::Team& team, const store::Heartbeats& heartbeats,
                                   store::HeartbeatLane lane, SaveHeartbeat& heartbeat) {
  if (!job.slots) return {};
  const auto timeout_s = team.comm.timeout_s();
  ProgressDeadline deadline(heartbeats, lane, team.comm.rank(), timeout_s);
  return job.slots->take(*job.options.num_workers, [&] {
    if (const auto failure = job.write->given_up()) std::rethrow_exception(failure);
    if (deadline.is_over()) {
      throw Error(ErrorKind::timeout,
                  fmt::format("rank {}: waited for one of {} ranks of the node to end its write: {}", team.comm.rank(),
                              *job.options.num_workers, deadline.why()));
    }
    if (team.is_root()) heartbeat.post(job, SavePhase::write, post_interval_s(timeout_s));
  });
}

void take_times(SaveJob& job) {
  auto& telemetry = job.rank_report.telemetry;
  telemetry.write_s = job.write->write_s();
  telemetry.sync_s = job.write->sync_s();
  if (job.in_background) telemetry.stage_s = job.write->stage_s();
}

}  // namespace

void stage_rank(SaveJob& job) {
  try {
    job.write->stage();
  } catch (...) {
    // run() ends with it, and so it comes to all ranks.
  }
}

void write_rank(SaveJob& job, const mpi::Team& team, const store::Heartbeats& heartbeats, store::HeartbeatLane lane,
                SaveHeartbeat& heartbeat) {
  auto& report = job.rank_report;
  job.write->on_progress([&] { heartbeat.post(job, SavePhase::write, post_interval_s(team.comm.timeout_s())); });
  job.write->on_phase([&](const char* phase) {
    heartbeat.post(job, phase == std::string_view("sync") ? SavePhase::sync : SavePhase::write);
  });
  heartbeat.post(job, SavePhase::stage);
  job.write_begun_s = job.watch.seconds();
  try {
    mpi::NodeSlots::Slot slot;
    try {
      slot = wait_for_slot(job, team, heartbeats, lane, heartbeat);
    } catch (...) {
      job.write->give_up(std::current_exception());  // run() gives all memory back
    }
    job.written = job.write->run();
    report.hashes = job.written.hashes;
    report.telemetry.bytes = job.written.bytes;
  } catch (...) {
    report.failure = mpi::failure_of(team.comm.rank(), std::current_exception());
    report.phase = job.write->phase();
    // In the foreground the state is read as it is written.
    if (!job.in_background && report.phase == "stage") report.phase = "write";
  }
  heartbeat.post(job, SavePhase::publish);
  take_times(job);
  job.is_written = true;
  job.wait_staged();
  report.blocked_s = job.report.blocked_s = job.blocked_s;
  report.durable_ns = unix_ns();
}

void write_together(SaveJob& job, const mpi::Team& team, SaveHeartbeat& heartbeat) {
  auto& report = job.rank_report;
  const auto& comm = team.comm;
  heartbeat.post(job, SavePhase::write);
  const Stopwatch watch;
  job.write_begun_s = job.watch.seconds();
  mpi::run_agreed(comm, "write", [&] {
    failpoint::pass("save.write");
    job.written = job.collective_write->write(local_shards(*job.plan, *job.state));
  });
  report.telemetry.write_s = watch.seconds();
  mpi::run_agreed(comm, "sync", [&] { failpoint::pass("save.sync"); });
  mpi::run_agreed(comm, "sync", [&] {
    heartbeat.post(job, SavePhase::sync);
    job.collective_write->sync();
  });
  report.telemetry.sync_s = watch.seconds() - report.telemetry.write_s;
  report.hashes = job.written.hashes;
  report.telemetry.bytes = job.written.bytes;
  heartbeat.post(job, SavePhase::publish);
  report.durable_ns = unix_ns();
}

}  // namespace muster::save
