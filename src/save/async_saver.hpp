#pragma once
// Saving in the background, as far as it is calls of the program: one that begins a save, others that wait for its end.

#include <cstdint>
#include <memory>
#include <optional>

#include "mpi/team.hpp"
#include "save/background_saves.hpp"
#include "save/save_handle.hpp"
#include "save/saver.hpp"
#include "store/directory.hpp"
#include "store/heartbeats.hpp"

namespace muster::save {

class AsyncSaver {
 public:
  // Borrows all.
  AsyncSaver(const mpi::Team& team, store::Directory& directory, store::Heartbeats& board, Saver& saver)
      : team_(team), directory_(directory), heartbeats_(board), saver_(saver) {}
  ~AsyncSaver();  // waits for the saves in flight, see BackgroundSaves::shut_down
  AsyncSaver(const AsyncSaver&) = delete;
  AsyncSaver& operator=(const AsyncSaver&) = delete;

  // Collective; see Checkpointer::save_async. Nothing where the save is skipped. gives_handle: whether the program
  // gets to see it.
  std::optional<BegunSave> begin(const Saver::Describe& describe, SaveOptions options, bool gives_handle);
  // Collective. Waits for the saves in flight, and throws what one of them failed with.
  void complete();
  // Local; see Checkpointer::poll.
  bool poll() { return background_ && background_->poll(); }

 private:
  void agree_on(const SaveOptions& options, bool gives_handle) const;
  void prepare(const AsyncOptions& options);
  std::uint64_t default_limit_bytes();
  bool make_room(const SaveOptions& options);
  void throw_failures();

  const mpi::Team& team_;
  store::Directory& directory_;
  store::Heartbeats& heartbeats_;
  Saver& saver_;
  std::uint64_t default_limit_bytes_ = 0;        // of staging memory; 0: not known yet
  std::shared_ptr<BackgroundSaves> background_;  // from the first save in the background on
};

}  // namespace muster::save
