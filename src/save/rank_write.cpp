#include "save/rank_write.hpp"

#include <string_view>

#include "base/clock.hpp"
#include "mpi/agree.hpp"
#include "save/progress_deadline.hpp"

namespace muster::save {

void stage_rank(AsyncSave& save) {
  try {
    save.write->stage();
  } catch (...) {
    // run() ends with it, and so it comes to all ranks.
  }
}

void write_rank(AsyncSave& save, const mpi::Team& team, SaveHeartbeat& posts) {
  auto& job = *save.job;
  auto& report = save.report;
  save.write->on_progress([&] { posts.post(save, store::SavePhase::write, post_interval_s(team.comm.timeout_s())); });
  save.write->on_phase([&](const char* phase) {
    posts.post(save, phase == std::string_view("sync") ? store::SavePhase::sync : store::SavePhase::write);
  });
  posts.post(save, store::SavePhase::stage);
  try {
    job.written = save.write->run();
    report.hashes = job.written.hashes;
    job.telemetry.bytes = job.written.bytes;
  } catch (...) {
    report.failure = mpi::failure_of(team.comm.rank(), std::current_exception());
    report.phase = save.write->phase();
  }
  posts.post(save, store::SavePhase::publish);
  job.telemetry.write_s = save.write->write_s();
  job.telemetry.sync_s = save.write->sync_s();
  job.telemetry.stage_s = save.write->stage_s();
  report.telemetry = job.telemetry;
  save.is_written = true;
  save.wait_staged();
  report.blocked_s = job.report.blocked_s = save.blocked_s;
  report.durable_ns = unix_ns();
}

}  // namespace muster::save
