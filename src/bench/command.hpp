#pragma once
// The commands of muster-bench. Each parses its own arguments, prints, and returns an exit code.

#include "bench/options.hpp"

namespace muster::bench {

// Collective over all processes started. MPI is initialised once the arguments are found right.
int save(const Arguments& arguments);
int load(const Arguments& arguments);
int policy(const Arguments& arguments);
// Local, without MPI; ranks other than 0 do nothing.
int plan(const Arguments& arguments);

}  // namespace muster::bench
