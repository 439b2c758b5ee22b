#pragma once
// One save on its way through its phases.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <muster/checkpoint.hpp>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "engine/collective.hpp"
#include "engine/direct_write.hpp"
#include "model/catalog.hpp"
#include "mpi/writer_slots.hpp"
#include "save/rank_report.hpp"
#include "save/save_plan.hpp"
#include "store/directory.hpp"
#include "store/ownership.hpp"
#include "store/part.hpp"
#include "store/part_reservation.hpp"

namespace muster::save {

// A background save is handed from the thread that began it to a background thread; what both look at is atomic or
// behind the mutex.
class SaveJob {
 public:
  // Borrows the options of the Checkpointer.
  SaveJob(const SaveOptions& of_save, const CheckpointerOptions& of_run, bool async)
      : options(of_save), run_options(of_run), is_async(async) {}

  // Notes how long it took, since the phase before it ended.
  void end_phase(SavePhase ended) {
    const double seconds = watch.lap();
    rank_report.telemetry.seconds[ended] = seconds;
    report.phase_s[std::string(name(ended))] = seconds;
  }

  // Rank 0: removes the part file, if there may be one that is not published.
  void drop_part() {
    if (!part_may_exist || !reservation) return;
    part_file.reset();
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    part_may_exist = false;
    reservation.reset();
  }

  // At the end of the save on this rank.
  void complete_report(bool published) {
    report.published = published;
    report.direct_bytes = written.direct_bytes;
    report.write_through_bytes = write ? write->write_through_bytes() : 0;
    report.collective_transfers = written.collective_transfers;
    report.independent_transfers = written.independent_transfers;
    report.first_byte_s = write_begun_s + written.first_byte_s.value_or(0);
    for (const auto timed : kTimedPhases) {
      if (timed == SavePhase::stage && !in_background) continue;
      report.phase_s[std::string(name(timed))] = rank_report.telemetry.seconds[timed];
    }
    report.phase_s[std::string(name(SavePhase::publish))] =
        static_cast<double>(unix_ns() - rank_report.durable_ns) / 1e9;
    report.total_s = watch.seconds();
  }

  [[nodiscard]] bool is_collective() const { return plan->choice.engine == EngineChoice::collective; }

  const SaveOptions options;
  const CheckpointerOptions& run_options;  // of the Checkpointer
  const bool is_async;                     // the program asked for a background save
  std::uint64_t number = 0;                // of the saves of this Checkpointer, from 1; the same on all ranks
  SavePhase phase = SavePhase::agree;      // in which this rank is while it prepares
  const State* state = nullptr;
  State kept_state;  // of a background save, until staged: `state` points to it
  Grid grid;         // resolved
  std::map<std::string, std::string> documents;
  std::uint64_t fingerprint = 0;
  std::shared_ptr<SavePlan> plan;
  bool in_background = false;    // false too if a background save was asked for and the engine has to be `collective`
  std::uint64_t generation = 0;  // of the directory; 0: none is held yet
  std::filesystem::path part;    // known with the generation
  bool part_may_exist = false;
  std::unique_ptr<engine::DirectWrite> write;                 // engine direct
  std::unique_ptr<engine::CollectiveWrite> collective_write;  // engine collective
  std::shared_ptr<const mpi::WriterSlots> slots;  // with options.num_workers; null: no rank waits for others
  engine::WriteResult written;
  RankReport rank_report;  // what this rank reports to rank 0
  Stopwatch watch;         // since the save began, and since the last phase ended
  double write_begun_s = 0;
  SaveReport report;
  SaveReport begun;                     // of a background save: what the call that began it reports
  Stopwatch called;                     // since the call of the program
  std::atomic<bool> is_written{false};  // or has failed, on this rank
  std::atomic<double> blocked_s{0};     // how long the program waited in that call, and for staging

  // Rank 0 alone has what follows.
  store::Ownership* ownership = nullptr;
  RunInfo run;
  std::optional<store::PartReservation> reservation;
  std::optional<store::PartFile> part_file;

  void set_staged() {
    {
      const std::lock_guard lock(mutex_);
      staged_ = true;
    }
    changed_.notify_all();
  }
  // failure: null if it was published.
  void set_ended(std::exception_ptr failure) {
    {
      const std::lock_guard lock(mutex_);
      staged_ = true;
      ended_ = true;
      failure_ = std::move(failure);
    }
    changed_.notify_all();
  }
  [[nodiscard]] bool ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  // After ended().
  [[nodiscard]] std::exception_ptr failure() const { return failure_; }

  [[nodiscard]] bool is_staged() const {
    const std::lock_guard lock(mutex_);
    return staged_;
  }
  void wait_staged() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return staged_; });
  }
  // False if it did not end in time.
  [[nodiscard]] bool wait_ended(double timeout_s) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return ended_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool staged_ = false;
  bool ended_ = false;
  std::exception_ptr failure_;
};

}  // namespace muster::save
