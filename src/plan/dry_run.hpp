#pragma once
// What a load would be like, from the catalog alone. Pure.

#include <cstdint>
#include <muster/grid.hpp>
#include <muster/rules.hpp>
#include <optional>
#include <string>
#include <vector>

#include "model/catalog.hpp"

namespace muster::plan {

// Who would load, and how the grid would cut what is in the file.
struct DryRunJob {
  int ranks = 1;
  Grid grid = {};
  std::vector<ShardingRule> rules = {};  // by the keys of the model's tensors; what none matches is replicated
  bool zero1 = false;                    // of the optimizer's tensors each data-parallel rank has a chunk of the rows
  std::vector<std::string> first_stage = {"*emb*", "*wte*", "*wpe*"};  // see PipelineStages
  int ranks_per_node = 1;                                              // the first ones on the first, and so on
  std::optional<std::vector<std::string>> wanted = {};                 // paths that the program has; unset: the file's
};

struct DryRunRank {
  std::uint64_t tensors = 0;
  std::uint64_t state_bytes = 0;     // of the tensors that it loads, in the file's dtypes
  std::uint64_t buffer_bytes = 0;    // of the load itself, and
  std::uint64_t read_bytes = 0;      // from storage: what LoadReport will say
  std::uint64_t sent_bytes = 0;      // to ranks of other nodes, one copy for each
  std::uint64_t received_bytes = 0;  // from ranks of other nodes
};

struct DryRun {
  std::vector<std::string> problems;  // for which the load would not work, one line each
  std::vector<std::string> notes;     // what is odd about it
  std::vector<DryRunRank> ranks;      // none where there are problems
};

// Of the sections /model and /optimizer, by the rules; of the others, all of every tensor on every rank. But for /rng,
// whose rows belong to the ranks that saved it. Numbered layers go to pipeline stages as PipelineStages says. Without
// problems the numbers are those of a load with default options by a job with the dtypes of the file, and masters where
// that has them, where ranks of a node can look into each other's memory. Throws Error{usage} where the grid does not
// fit the ranks.
DryRun dry_run(const Catalog& catalog, const DryRunJob& job);

}  // namespace muster::plan
