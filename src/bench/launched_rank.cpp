#include "bench/launched_rank.hpp"

#include <cstdlib>
#include <initializer_list>

namespace muster::bench {

int launched_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* rank = std::getenv(variable); rank != nullptr) return std::atoi(rank);
  }
  return 0;
}

}  // namespace muster::bench
