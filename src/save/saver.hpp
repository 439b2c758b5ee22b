#pragma once
// Saving: agree, plan, open, write, sync, publish. In the foreground the calling thread does all of it; in the
// background it does the phases up to `open`, and BackgroundSaves the others, with the same code.

#include <cstdint>
#include <functional>
#include <memory>
#include <muster/checkpoint.hpp>
#include <optional>

#include "engine/staging_pool.hpp"
#include "mpi/call_header.hpp"
#include "mpi/team.hpp"
#include "mpi/writer_slots.hpp"
#include "save/background_saves.hpp"
#include "save/save_handle.hpp"
#include "save/save_heartbeat.hpp"
#include "save/save_job.hpp"
#include "save/save_planner.hpp"
#include "store/directory.hpp"
#include "store/heartbeats.hpp"
#include "store/ownership.hpp"

namespace muster::save {

// Keeps the plan of the last save, with its head, and the memory of its buffers.
class Saver {
 public:
  // ownership: on rank 0; null elsewhere. Borrows all.
  Saver(const mpi::Team& team, store::Directory& directory, store::Ownership* ownership,
        const CheckpointerOptions& options, store::Heartbeats& heartbeats);
  ~Saver();  // waits for the saves in flight, see BackgroundSaves::shut_down
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  // Collective; see Checkpointer::own.
  void own();

  // Collective; see Checkpointer::save and save_async. `describe` is local; the state that it returns must live as long
  // as the call. is_async: a background save. Nothing if the save is skipped.
  using Describe = std::function<const State&()>;
  std::optional<BegunSave> save(const Describe& describe, const SaveOptions& options, bool is_async);

  // Collective. What every call but a save begins with: waits for the saves in flight, agrees that all ranks make the
  // same call, and throws what a save in the background failed with.
  void complete(const std::string& call);
  // Local; see Checkpointer::poll.
  bool poll() { return background_ && background_->poll(); }

 private:
  void agree(SaveJob& job, const Describe& describe);
  void prepare(SaveJob& job, const Describe& describe) const;
  [[nodiscard]] bool has_free_slot(const SaveOptions& options);
  void plan(SaveJob& job);
  void open(SaveJob& job);
  void open_part(SaveJob& job);
  void open_write(SaveJob& job);
  void require_one_file(const SaveJob& job) const;
  void require_free_tag(const SaveOptions& options) const;
  void finish(SaveJob& job);
  std::uint64_t claim_directory();
  void prepare_background(const AsyncOptions& options);
  std::uint64_t default_limit_bytes();
  void throw_failure(std::uint64_t number);

  void post(const SaveJob& job, SavePhase phase);
  // To be called in a catch block.
  [[noreturn]] void rethrow_with_missing_ranks();
  void throw_if_superseded(const SaveJob& job, const CollectiveError& error) const;
  void begin_report(SaveJob& job) const;

  const mpi::Team& team_;
  const CheckpointerOptions& run_options_;
  store::Directory& directory_;
  store::Ownership* const ownership_;
  store::Heartbeats& heartbeats_;
  SaveHeartbeat heartbeat_;
  SavePlanner planner_;
  mpi::CallHeader header_;
  std::shared_ptr<engine::StagingPool> pool_ = std::make_shared<engine::StagingPool>();
  std::shared_ptr<const mpi::WriterSlots> slots_;  // from the first save with num_workers on
  std::uint64_t saves_ = 0;                        // begun
  store::Progress at_;
  std::uint64_t default_limit_bytes_ = 0;        // of staging memory; 0: not known yet
  std::shared_ptr<BackgroundSaves> background_;  // from the first save in the background on
};

}  // namespace muster::save
