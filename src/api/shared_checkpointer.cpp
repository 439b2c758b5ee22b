// The Checkpointers behind the free functions. They hang on the user's communicator as an MPI attribute, so that they
// go when it goes and can never be taken for those of another communicator with a recycled handle.

#include <fmt/format.h>

#include <map>
#include <memory>
#include <muster/checkpoint.hpp>
#include <string>
#include <vector>

#include "api/option_texts.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "mpi/comm.hpp"
#include "mpi/exchange.hpp"

namespace muster {

namespace {

struct Shared {
  Checkpointer checkpointer;
  bool has_options = false;  // a call gave them
};

struct Checkpointers {
  mpi::Comm comm;  // to agree on the directory before one of them is used or made
  std::map<std::string, Shared> by_directory;
};

const double kTimeoutS = CheckpointerOptions().timeout_s;

// Everything that must be released before MPI ends, for communicators that are never freed; in the order in which it
// was made, which is the same on all ranks.
std::vector<Checkpointers*>& all_checkpointers() {
  static std::vector<Checkpointers*> all;
  return all;
}

int release(MPI_Comm, int, void* attribute, void*) {
  auto* checkpointers = static_cast<Checkpointers*>(attribute);
  if (std::erase(all_checkpointers(), checkpointers) > 0) delete checkpointers;
  return MPI_SUCCESS;
}

// MPI deletes the attributes of MPI_COMM_SELF first thing in MPI_Finalize, while MPI still works.
int release_all(MPI_Comm, int, void*, void*) {
  for (auto* checkpointers : all_checkpointers()) delete checkpointers;
  all_checkpointers().clear();
  return MPI_SUCCESS;
}

int make_keyval() {
  int keyval = MPI_KEYVAL_INVALID;
  mpi::check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, release, &keyval, nullptr), "MPI_Comm_create_keyval");
  int at_end = MPI_KEYVAL_INVALID;
  mpi::check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, release_all, &at_end, nullptr), "MPI_Comm_create_keyval");
  mpi::check(MPI_Comm_set_attr(MPI_COMM_SELF, at_end, nullptr), "MPI_Comm_set_attr");
  return keyval;
}

int keyval() {
  static const int made = make_keyval();
  return made;
}

// Null where the communicator has none yet.
Checkpointers* attached_to(MPI_Comm comm) {
  Checkpointers* checkpointers = nullptr;
  int found = 0;
  mpi::check(MPI_Comm_get_attr(comm, keyval(), static_cast<void*>(&checkpointers), &found), "MPI_Comm_get_attr");
  return found != 0 ? checkpointers : nullptr;
}

// Collective.
void require_options_of_before(const mpi::CommView& comm, const CheckpointerOptions& before,
                               const CheckpointerOptions& now) {
  mpi::run_agreed(comm, "agree", [&] {
    auto resolved = now;
    resolved.grid = resolve(now.grid, comm.size());
    const auto old_texts = api::option_texts(before);
    const auto new_texts = api::option_texts(resolved);
    for (std::size_t i = 0; i < old_texts.size(); ++i) {
      if (old_texts[i] == new_texts[i]) continue;
      throw Error(ErrorKind::usage,
                  fmt::format("the option {} is {}, and was {} in an earlier call for this directory; "
                              "it is fixed for the run",
                              new_texts[i].first, new_texts[i].second, old_texts[i].second));
    }
  });
}

}  // namespace

Checkpointer& shared_checkpointer(MPI_Comm comm, const std::filesystem::path& directory,
                                  const std::optional<CheckpointerOptions>& options) {
  mpi::require_usable(comm);
  auto* checkpointers = attached_to(comm);
  if (checkpointers == nullptr) {
    auto made = std::make_unique<Checkpointers>(Checkpointers{mpi::Comm::duplicate(comm), {}});
    mpi::check(MPI_Comm_set_attr(comm, keyval(), made.get()), "MPI_Comm_set_attr");
    checkpointers = made.release();
    all_checkpointers().push_back(checkpointers);
  }
  const auto view = checkpointers->comm.view(kTimeoutS);
  const auto key = directory.lexically_normal().string();
  mpi::require_same(view, "agree", "the directory", fmt::format("'{}'{}", key, options ? " with options" : ""));
  auto& by_directory = checkpointers->by_directory;
  auto existing = by_directory.find(key);
  if (existing == by_directory.end()) {
    Checkpointer made(comm, directory, options.value_or(CheckpointerOptions()));
    return by_directory.emplace(key, Shared{std::move(made), options.has_value()}).first->second.checkpointer;
  }
  auto& [checkpointer, has_options] = existing->second;
  if (options && has_options) {
    require_options_of_before(view, checkpointer.options(), *options);
  } else if (options) {
    // It has loaded, or saved with the defaults that nobody chose.
    checkpointer.finalize();
    checkpointer = Checkpointer(comm, directory, *options);
    has_options = true;
  }
  return checkpointer;
}

SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const State& state,
                           const SaveOptions& options, const CheckpointerOptions& run_options) {
  return shared_checkpointer(comm, directory, run_options).save(state, options);
}

LoadReport load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const LoadTarget& target,
                           const LoadOptions& options) {
  return shared_checkpointer(comm, directory).load(options, target);
}

bool has_checkpoint(MPI_Comm comm, const std::filesystem::path& directory) {
  return shared_checkpointer(comm, directory).latest_tag().has_value();
}

void finalize_checkpoint(MPI_Comm comm) {
  mpi::require_usable(comm);
  auto* checkpointers = attached_to(comm);
  if (checkpointers == nullptr) return;
  // What one of them throws it throws on all ranks: they stay in step.
  std::exception_ptr failure;
  for (auto& [directory, shared] : checkpointers->by_directory) {
    try {
      shared.checkpointer.finalize();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  }
  mpi::check(MPI_Comm_delete_attr(comm, keyval()), "MPI_Comm_delete_attr");
  if (failure) std::rethrow_exception(failure);
}

}  // namespace muster
