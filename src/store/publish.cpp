// How a checkpoint is published. `P` is .<tag>.g<N>.h5.part, `T` is <tag>.h5, `L` is latest; N is the generation.
//
//   before  every rank has written and synced its bytes; rank 0 has written and synced head and tables; all agreed.
//   1.      write .latest.g<N>.pointer.part naming the tag,       a crash up to here: P is a leftover, cleared by the
//           fsync it                                              next save; T and L are as before
//   2.      look whether generation N holds the directory still   whoever takes it over later removes P and the
//                                                                 pointer's file before it does anything else
//   3.      rename P to T                                         the tag is visible: complete, and with the highest
//                                                                 sequence number, so a resume finds it whatever L says
//   4.      fsync the directory                                   the tag survives a power cut
//   5.      rename .latest.g<N>.pointer.part to L                 L is atomically the new tag; it never names a tag
//                                                                 that is not durable
//   6.      fsync the directory                                   L survives a power cut
//   after   retention (retention.cpp) removes old tags, oldest first: only ever after step 6
//
// A step that fails is undone: the tag is withdrawn and L put back, so that a save that throws has published nothing.
// Not so where the directory has been taken over after step 3: the tag was there before, and its new owner counts on
// it.

#include "store/publish.hpp"

#include <muster/error.hpp>
#include <mutex>
#include <optional>

#include "base/failpoint.hpp"
#include "base/posix.hpp"
#include "store/names.hpp"
#include "store/part_reservation.hpp"
#include "store/pointer.hpp"
#include "store/removal.hpp"
#include "store/space_release.hpp"

namespace muster::store {

namespace {

// Undoing is best effort: the error that made it necessary is the one to report.
template <class Step>
void attempt(Step&& step) {
  try {
    step();
  } catch (const Error&) {
  }
}

// Withdraws the tag and puts the pointer back. Throws Error{superseded}, and then has done nothing.
void undo(Ownership& ownership, const std::string& tag, const std::optional<std::string>& previous) {
  const auto& directory = ownership.directory();
  PendingRemoval withdrawal(directory, tag_file({}, tag).string(), ownership.generation());
  std::optional<PendingRemoval> no_pointer;
  std::optional<PendingPointer> pointer;
  if (previous) {
    attempt([&] { pointer.emplace(directory, kLatestPointer, *previous, ownership.generation()); });
  } else {
    no_pointer.emplace(directory, kLatestPointer, ownership.generation());
  }
  ownership.check(tag + " had been published before, and stays");
  attempt([&] { withdrawal.remove(); });
  attempt([&] {
    if (pointer) pointer->move();
    if (no_pointer) no_pointer->remove();
  });
  attempt([&] { posix::sync_directory(directory); });
}

}  // namespace

void publish(Ownership& ownership, const std::filesystem::path& part, const std::string& tag) {
  const auto& directory = ownership.directory();
  // Saves of several Checkpointers may come here on threads of their own, for one `latest`.
  const std::lock_guard lock(PartReservation::publishing_in(directory));
  const auto target = tag_file(directory, tag);
  const auto previous = read_pointer(directory, kLatestPointer);
  const bool replaces = std::filesystem::exists(target);
  std::optional<SpaceRelease> space;
  if (replaces) space.emplace().keep(target);

  failpoint::pass("publish.before_pointer");
  PendingPointer latest(directory, kLatestPointer, tag, ownership.generation());  // 1
  failpoint::pass("publish.before_check");
  ownership.check();  // 2
  failpoint::pass("publish.before_rename");
  try {
    posix::rename(part, target);  // 3
  } catch (const Error&) {
    throw_if_superseded(ownership);
    throw;
  }
  try {
    failpoint::pass("publish.after_rename");
    posix::sync_directory(directory);  // 4
    failpoint::pass("publish.after_sync");
    latest.move();  // 5
    failpoint::pass("publish.after_pointer");
    posix::sync_directory(directory);  // 6
  } catch (const Error& error) {
    if (replaces) {
      const auto stays = "the new file has already replaced " + target.string() + " and stays";
      ownership.check(stays);
      throw Error(error.kind(), std::string(error.what()) + " (" + stays + ")");
    }
    undo(ownership, tag, previous);
    throw;
  }
}

}  // namespace muster::store
