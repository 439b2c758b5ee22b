#pragma once
// Errors of muster. Thread safety: exceptions are values, and all member functions are const.

#include <muster/export.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// The kind of an error. Programs branch on it, and people read what().
enum class ErrorKind {
  usage,       // an argument is invalid in every situation (bad tag, duplicate key)
  mismatch,    // ranks disagree, or a load target does not fit what was saved
  exists,      // the tag exists, and replace_existing is off
  not_found,   // the directory, the tag or the checkpoint does not exist
  corrupt,     // bytes in a file differ from what was saved
  io,          // the operating system, HDF5 or MPI refused a request
  busy,        // max_in_flight saves are in flight and when_busy is `fail`, or another job owns the directory
  timeout,     // other ranks did not arrive before the deadline
  internal,    // muster has a defect, or code that it called threw an exception of another type
  superseded,  // another job, or another start of this job, took over the directory: this run can save no more
};

// Local. Returns the name of the enumerator: "usage", "mismatch", ...
std::string_view name(ErrorKind kind);

// An error of one rank, or of a local call.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  [[nodiscard]] ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// The report of one rank about a failed phase.
struct RankFailure {
  int rank = 0;
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

// A phase failed on at least one rank. Every rank of the communicator throws the same exception.
// what() is "<phase> failed: rank 3: <message>", with one line for each different message and its ranks.
// kind() is the kind of the first entry of failures().
class CollectiveError : public Error {
 public:
  CollectiveError(std::string phase, std::vector<RankFailure> failures);
  // The phase that failed:
  // - of a save: "agree", "plan", "open", "stage", "write", "sync" or "publish",
  // - of a load: "find", "prepare", "check", "read" or "commit",
  // - of a SavePolicy: "policy".
  [[nodiscard]] const std::string& phase() const { return phase_; }
  // One entry for each failing rank, in rank order. Never empty. If very many ranks fail, not every entry has the
  // message of its rank, or the last message states how many more ranks failed.
  [[nodiscard]] const std::vector<RankFailure>& failures() const { return failures_; }

 private:
  std::string phase_;
  std::vector<RankFailure> failures_;
};

}  // namespace muster
