#include "save/write_phase.hpp"

#include <fmt/format.h>

#include <exception>
#include <string_view>
#include <thread>

#include "base/all_signals_block.hpp"
#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "mpi/agree.hpp"
#include "save/progress_deadline.hpp"

namespace muster::save {

namespace {

// A slot of the node. Whoever has one may take long, so the wait ends only when no progress is heard of any more.
mpi::WriterSlots::Slot wait_for_slot(const SaveJob& job, const mpi::Team& team, const store::Heartbeats& heartbeats,
                                     store::HeartbeatLane lane, SaveHeartbeat& heartbeat) {
  if (!job.slots) return {};
  const auto timeout_s = team.comm.timeout_s();
  ProgressDeadline deadline(heartbeats, lane, team.comm.rank(), ProgressDeadline::ListensTo::all, timeout_s);
  return job.slots->take(*job.options.num_workers, [&] {
    if (const auto failure = job.write->given_up()) std::rethrow_exception(failure);
    job.write->count_sign_of_life();
    if (deadline.is_over()) {
      throw Error(ErrorKind::timeout,
                  fmt::format("rank {}: waited for one of {} ranks of the node to end its write: {}", team.comm.rank(),
                              *job.options.num_workers, deadline.why()));
    }
    // Those who wait do not post, or they would take each other for ranks that go on; but many wait for rank 0.
    if (team.is_root()) heartbeat.post(job, SavePhase::write, post_interval_s(timeout_s));
  });
}

engine::WriteResult write_direct(SaveJob& job) {
  if (job.in_background) return job.write->run();
  if (job.write->copies_memory_only()) {
    job.write->write_through();
    return job.write->run();
  }
  // Functions of the program's that read tensors run on its own thread; what they gave is written meanwhile.
  engine::WriteResult written;
  std::exception_ptr failure;
  std::thread writer;
  {
    const AllSignalsBlock while_it_starts;
    writer = std::thread([&] {
      try {
        written = job.write->run();
      } catch (...) {
        failure = std::current_exception();
      }
    });
  }
  stage_rank(job);
  writer.join();
  if (failure) std::rethrow_exception(failure);
  return written;
}

void take_times(SaveJob& job, double waited_for_slot_s) {
  auto& seconds = job.rank_report.telemetry.seconds;
  seconds[SavePhase::write] = waited_for_slot_s + job.write->write_s();
  seconds[SavePhase::sync] = job.write->sync_s();
  if (job.in_background) seconds[SavePhase::stage] = job.write->stage_s();
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
  job.write->on_phase([&](SavePhase phase) {
    if (phase == SavePhase::write) job.write_begun_s = job.watch.seconds();
    heartbeat.post(job, phase);
  });
  heartbeat.post(job, SavePhase::stage);
  double waited_for_slot_s = 0;
  try {
    const Stopwatch watch;
    mpi::WriterSlots::Slot slot;
    try {
      slot = wait_for_slot(job, team, heartbeats, lane, heartbeat);
    } catch (...) {
      job.write->give_up(std::current_exception());  // run() gives all memory back
    }
    if (job.slots) waited_for_slot_s = watch.seconds();
    job.written = write_direct(job);
    report.hashes = job.written.hashes;
    report.telemetry.bytes = job.written.bytes;
  } catch (...) {
    report.failure = mpi::failure_of(team.comm.rank(), std::current_exception());
    report.phase = job.write->phase();
    // In the foreground the state is read as it is written.
    if (!job.in_background && report.phase == SavePhase::stage) report.phase = SavePhase::write;
  }
  heartbeat.post(job, SavePhase::publish);
  take_times(job, waited_for_slot_s);
  job.is_written = true;
  job.wait_staged();
  report.blocked_s = job.report.blocked_s = job.blocked_s;
  report.durable_ns = unix_ns();
}

void write_collectively(SaveJob& job, const mpi::Team& team, SaveHeartbeat& heartbeat) {
  auto& report = job.rank_report;
  const auto& comm = team.comm;
  heartbeat.post(job, SavePhase::write);
  Stopwatch watch;
  job.write_begun_s = job.watch.seconds();
  // A rank that could not even begin must say so before the others wait for it inside HDF5.
  const auto shards = mpi::run_agreed(comm, "write", [&] {
    failpoint::pass("save.write");
    return local_shards(*job.plan, *job.state);
  });
  mpi::run_agreed(comm, "write", [&] { job.written = job.collective_write->write(shards); });
  report.telemetry.seconds[SavePhase::write] = watch.lap();
  mpi::run_agreed(comm, "sync", [&] { failpoint::pass("save.sync"); });
  mpi::run_agreed(comm, "sync", [&] {
    heartbeat.post(job, SavePhase::sync);
    job.collective_write->sync();
  });
  report.telemetry.seconds[SavePhase::sync] = watch.lap();
  report.hashes = job.written.hashes;
  report.telemetry.bytes = job.written.bytes;
  heartbeat.post(job, SavePhase::publish);
  report.durable_ns = unix_ns();
}

}  // namespace muster::save
