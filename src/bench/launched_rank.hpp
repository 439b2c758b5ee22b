#pragma once
// Which rank this process is going to be, before MPI is initialised.

namespace muster::bench {

// As the launcher's environment says; 0 where there is no launcher.
int launched_rank();

}  // namespace muster::bench
