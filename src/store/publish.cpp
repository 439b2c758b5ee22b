// How a checkpoint is published. `P` is .<tag>.h5.part, `T` is <tag>.h5, `L` is latest.
//
//   before  every rank has written and synced its bytes; rank 0 has written and synced head and tables; all agreed.
//   1.      write .latest.pointer.part naming the tag, fsync it   a crash up to here: P is a leftover, cleared by the
//                                                                 next save; T and L are as before
//   2.      rename P to T                                         the tag is visible: complete, and with the highest
//                                                                 sequence number, so a resume finds it whatever L says
//   3.      fsync the directory                                   the tag survives a power cut
//   4.      rename .latest.pointer.part to L                      L is atomically the new tag; it never names a tag
//                                                                 that is not durable
//   5.      fsync the directory                                   L survives a power cut
//   after   retention (retention.cpp) removes old tags, oldest first: only ever after step 5
//
// A step that fails is undone: the tag is withdrawn and L put back, so that a save that throws has published nothing.

#include "store/publish.hpp"

#include <muster/error.hpp>
#include <mutex>

#include "base/failpoint.hpp"
#include "base/posix.hpp"
#include "store/claim.hpp"
#include "store/names.hpp"
#include "store/pointer.hpp"

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

void restore_latest(const std::filesystem::path& directory, const std::optional<std::string>& tag) {
  if (tag) {
    PendingPointer(directory, kLatestPointer, *tag).move();
  } else {
    posix::remove(directory / kLatestPointer);
  }
}

}  // namespace

void publish(const std::filesystem::path& directory, const std::filesystem::path& part, const std::string& tag) {
  // Saves of several Checkpointers may come here on threads of their own, for one `latest`.
  const std::lock_guard lock(Claim::publishing_in(directory));
  const auto target = tag_file(directory, tag);
  const auto previous = read_pointer(directory, kLatestPointer);
  const bool replaces = std::filesystem::exists(target);

  failpoint::pass("publish.before_pointer");
  PendingPointer latest(directory, kLatestPointer, tag);  // 1
  failpoint::pass("publish.before_rename");
  posix::rename(part, target);  // 2
  try {
    failpoint::pass("publish.after_rename");
    posix::sync_directory(directory);  // 3
    failpoint::pass("publish.after_sync");
    latest.move();  // 4
    failpoint::pass("publish.after_pointer");
    posix::sync_directory(directory);  // 5
  } catch (const Error& error) {
    if (replaces) {
      throw Error(error.kind(),
                  std::string(error.what()) + " (the new file has already replaced " + target.string() + " and stays)");
    }
    attempt([&] { posix::remove(target); });
    attempt([&] { restore_latest(directory, previous); });
    attempt([&] { posix::sync_directory(directory); });
    throw;
  }
}

}  // namespace muster::store
