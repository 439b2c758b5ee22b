#pragma once
// What all programs exit with; docs/reference/command-line.md has the table for users.

#include <muster/error.hpp>

namespace muster::program {

enum ExitCode : int {
  kFine = 0,
  kNotSo = 1,       // a checkpoint is damaged, is not there, or does not fit
  kWrongUsage = 2,  // of the command line
  kFailed = 3,      // could not read or write, or anything else
  kSuperseded = 4,  // a later start of this job has the directory
  kBusy = 5,        // another job has it
  kStopped = 75,    // saved, to go on later; EX_TEMPFAIL of sysexits.h
};

ExitCode exit_code(ErrorKind kind);

}  // namespace muster::program
