#pragma once
// Errors of muster. Thread safety: exceptions are values; all members are const.

#include <muster/export.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// What kind of thing went wrong; programs branch on this, people read what().
enum class ErrorKind {
  usage,       // an argument that no state of the world could make valid (bad tag, duplicate key)
  mismatch,    // ranks disagree, or a load target does not fit what was saved
  exists,      // the tag is already there and replacing it was not asked for
  not_found,   // no such directory, tag or checkpoint
  corrupt,     // bytes in a file are not what was saved
  io,          // the operating system, HDF5 or MPI refused a request
  busy,        // as many saves are in flight as may be, and waiting was not asked for; or another job has the directory
  timeout,     // other ranks did not arrive before the deadline
  internal,    // muster broke a promise to itself; or an exception of another type, from a callback for instance
  superseded,  // another start of this job, or another job, has taken the directory over: this run can save no more
};

// "usage", "mismatch", ... as written above.
std::string_view name(ErrorKind kind);

// An error of one rank, or of a call that is local.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  [[nodiscard]] ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// What one rank reported in a failed phase.
struct RankFailure {
  int rank = 0;
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

// The same exception on every rank of the communicator: a phase failed on at least one of them.
// what() is "<phase> failed: rank 3: <message>", one rank a line when there are several; ranks that report the same
// words share a line. kind() is that of the lowest failing rank.
class CollectiveError : public Error {
 public:
  CollectiveError(std::string phase, std::vector<RankFailure> failures);
  // The phase that failed: "agree", "plan", "open", "stage" (async), "write", "sync", "publish" of a save;
  // "find", "prepare", "check", "read", "commit" of a load.
  [[nodiscard]] const std::string& phase() const { return phase_; }
  // One entry a failing rank, in rank order; never empty.
  [[nodiscard]] const std::vector<RankFailure>& failures() const { return failures_; }

 private:
  std::string phase_;
  std::vector<RankFailure> failures_;
};

}  // namespace muster
