#pragma once
// The commands of the program `muster`. Each parses its own arguments, prints, and returns an exit code.

#include <muster/error.hpp>
#include <string>
#include <vector>

namespace muster::cli {

enum ExitCode : int {
  kFine = 0,
  kNotSo = 1,       // what was checked is not so: damaged, or none found
  kWrongUsage = 2,  // of the command line
  kNoAccess = 3,    // could not read or write
};

ExitCode exit_code(ErrorKind kind);

using Arguments = std::vector<std::string>;

int list(const Arguments& arguments);
int show(const Arguments& arguments);
int verify(const Arguments& arguments);
int latest(const Arguments& arguments);
int prune(const Arguments& arguments);
int stats(const Arguments& arguments);
int dry_run(const Arguments& arguments);

}  // namespace muster::cli
