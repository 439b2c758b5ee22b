#include "save/exit_guard.hpp"

#include <mpi.h>

#include <cstdlib>
#include <vector>

#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "mpi/check.hpp"

namespace muster::save {

namespace {

std::vector<std::weak_ptr<BackgroundSaves>>& all_saves() {
  static std::vector<std::weak_ptr<BackgroundSaves>> all;
  return all;
}

void wait_for_all() {
  for (const auto& entry : all_saves()) {
    const auto saves = entry.lock();
    if (saves) saves->complete_at_exit();
  }
}

// MPI deletes the attributes of MPI_COMM_SELF first thing in MPI_Finalize, while MPI still works.
int at_finalize(MPI_Comm, int, void*, void*) {
  wait_for_all();
  return MPI_SUCCESS;
}

void at_exit() {
  int finalized = 0;
  if (MPI_Finalized(&finalized) == MPI_SUCCESS && finalized == 0) wait_for_all();
}

bool register_once() {
  // What the handler uses is made before it is registered, and so destroyed after it has run.
  all_saves();
  log_ready();
  failpoint::pass("exit_guard");
  int keyval = MPI_KEYVAL_INVALID;
  mpi::check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_finalize, &keyval, nullptr), "MPI_Comm_create_keyval");
  mpi::check(MPI_Comm_set_attr(MPI_COMM_SELF, keyval, nullptr), "MPI_Comm_set_attr");
  std::atexit(at_exit);
  return true;
}

}  // namespace

void wait_at_exit(const std::shared_ptr<BackgroundSaves>& saves) {
  static const bool registered = register_once();
  static_cast<void>(registered);
  std::erase_if(all_saves(), [](const auto& entry) { return entry.expired(); });
  all_saves().push_back(saves);
}

}  // namespace muster::save
