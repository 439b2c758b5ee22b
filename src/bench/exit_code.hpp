#pragma once
// What muster-bench exits with.

#include <muster/error.hpp>

namespace muster::bench {

enum ExitCode : int {
  kFine = 0,
  kNotSo = 1,       // what was loaded is not what was saved
  kWrongUsage = 2,  // of the command line
  kNoAccess = 3,    // could not read or write
};

ExitCode exit_code(ErrorKind kind);

}  // namespace muster::bench
