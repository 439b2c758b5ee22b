#pragma once
// What went wrong, in one line, and what the program exits with. Local.

#include <muster/error.hpp>
#include <string>

namespace muster::train {

// Thrown on all ranks alike.
class AgreedError : public Error {
 public:
  using Error::Error;
};

struct Failure {
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

// Of the exception that is being handled; Torch's without their backtrace.
Failure current_failure();

inline constexpr int kExitDone = 0;
inline constexpr int kExitCheckpoint = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitOther = 3;
inline constexpr int kExitSuperseded = 4;  // a later start of this job has the directory
inline constexpr int kExitBusy = 5;        // another job has it
inline constexpr int kExitStopped = 75;    // saved, to go on later; EX_TEMPFAIL of sysexits.h

int exit_code(ErrorKind kind);

}  // namespace muster::train
