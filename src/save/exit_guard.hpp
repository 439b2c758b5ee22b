#pragma once
// Saves in flight when a program ends by exit() or MPI_Finalize.

#include <memory>

#include "save/background_saves.hpp"

namespace muster::save {

// From now on, whichever comes first of MPI_Finalize (before MPI stops working) and exit() waits for its saves in
// flight. Local; for the thread that made it.
void wait_at_exit(const std::shared_ptr<BackgroundSaves>& saves);

}  // namespace muster::save
