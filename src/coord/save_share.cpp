#include "coord/save_share.hpp"

#include <string_view>

#include "base/clock.hpp"
#include "coord/patience.hpp"
#include "mpi/agree.hpp"

namespace muster::coord {

void stage_share(AsyncSave& save) {
  try {
    save.write->stage();
  } catch (...) {
    // run() ends with it, and so it comes to all ranks.
  }
}

void write_share(AsyncSave& save, const Team& team, SavePosts& posts) {
  auto& job = *save.job;
  auto& tale = save.tale;
  save.write->on_progress(
      [&] { posts.post(save, store::ProgressPhase::write, post_interval_s(team.comm.timeout_s())); });
  save.write->on_phase([&](const char* phase) {
    posts.post(save, phase == std::string_view("sync") ? store::ProgressPhase::sync : store::ProgressPhase::write);
  });
  posts.post(save, store::ProgressPhase::stage);
  try {
    job.written = save.write->run();
    tale.hashes = job.written.hashes;
    job.telemetry.bytes = job.written.bytes;
  } catch (...) {
    tale.failure = mpi::failure_of(team.comm.rank(), std::current_exception());
    tale.phase = save.write->phase();
  }
  posts.post(save, store::ProgressPhase::publish);
  job.telemetry.write_s = save.write->write_s();
  job.telemetry.sync_s = save.write->sync_s();
  job.telemetry.stage_s = save.write->stage_s();
  tale.telemetry = job.telemetry;
  save.is_written = true;
  save.wait_staged();
  tale.blocked_s = job.report.blocked_s = save.blocked_s;
  tale.durable_ns = unix_ns();
}

}  // namespace muster::coord
