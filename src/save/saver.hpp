#pragma once
// Saving, phase by phase: agree, plan, open, then write, sync, publish at once or in the background.

#include <cstdint>
#include <functional>
#include <memory>
#include <muster/checkpoint.hpp>

#include "engine/engine.hpp"
#include "engine/staging_pool.hpp"
#include "mpi/team.hpp"
#include "save/async_save.hpp"
#include "save/save_job.hpp"
#include "save/save_planner.hpp"
#include "store/directory.hpp"
#include "store/heartbeats.hpp"
#include "store/ownership.hpp"

namespace muster::save {

// Both, kept from save to save with what they have allocated.
struct Engines {
  std::unique_ptr<engine::Engine> direct;
  std::unique_ptr<engine::Engine> collective;
};

// Keeps the plan of the last save, with its head.
class Saver {
 public:
  // ownership: on rank 0; null elsewhere. Borrows all but the engines.
  Saver(const mpi::Team& team, store::Directory& directory, store::Ownership* ownership,
        const CheckpointerOptions& options, Engines engines, store::Heartbeats& board);

  // Collective; see Checkpointer::own. The generation.
  std::uint64_t own();

  // Collective; see Checkpointer::save. `describe` is local; the state that it returns must live as long as the call.
  using Describe = std::function<const State&()>;
  SaveReport save(const Describe& describe, const SaveOptions& options);

  // Collective. The phases up to `open`; what comes back is ready to be staged and written on other threads. Null where
  // the engine `auto` has to be `collective`: then nothing has been begun.
  std::shared_ptr<AsyncSave> begin(const Describe& describe, const SaveOptions& options, engine::StagingPool& pool);

 private:
  void agree(SaveJob& job, const Describe& describe);
  void prepare(SaveJob& job, const Describe& describe) const;
  void plan(SaveJob& job);
  void open(SaveJob& job);
  void require_one_file(const SaveJob& job) const;
  void write(SaveJob& job, engine::PartWriter& writer);
  void publish(SaveJob& job);
  void post(const SaveJob& job, store::SavePhase phase);
  // To be called in a catch block.
  [[noreturn]] void rethrow_with_missing_ranks();

  void throw_if_superseded(const SaveJob& job, const CollectiveError& error) const;
  void fill_report(SaveJob& job) const;

  const mpi::Team& team_;
  store::Directory& directory_;
  store::Ownership* const ownership_;
  Engines engines_;
  store::Heartbeats& heartbeats_;
  SavePlanner planner_;
  std::uint64_t saves_ = 0;  // begun
  store::Progress at_;
};

}  // namespace muster::save
