#pragma once
// The job's state from what its ranks hold. Pure.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/plan.hpp"

namespace muster::plan {

// Ranks that passed the same descriptions, and these.
struct RankDescriptions {
  RankSet ranks;
  std::vector<ShardDescription> descriptions;
};

// Brings the descriptions of all ranks together. A tensor held whole must be held whole by every rank of its holders'
// peer groups (all of the job where they are not given); parts must
// cover their tensor without gap or overlap. Where some are not ranges of elements, chunks are chosen in which each
// part is a few ranges in the file. Throws Error{mismatch} that lists every tensor on which ranks disagree, with who
// says what. The order of the groups changes nothing.
GlobalState merge(int world_size, const std::vector<RankDescriptions>& groups);

// The same, one group at a time, so that the caller need not have all descriptions at once: of each, a few bytes are
// kept.
class Merger {
 public:
  explicit Merger(int world_size) : Merger(std::vector<int>(static_cast<std::size_t>(world_size), 0)) {}
  // The number of each rank's group.
  explicit Merger(std::vector<int> peer_groups) : peer_groups_(std::move(peer_groups)) {}
  void add(RankSet ranks, const std::vector<ShardDescription>& descriptions);
  // Once.
  GlobalState finish();

 private:
  // What must be the same wherever a tensor is held.
  struct Version {
    DType dtype = DType::float32;
    Shape shape;
    bool is_whole = false;
  };
  struct Named {
    std::string path;
    std::vector<Version> versions;
  };
  // A shard of a tensor that the ranks of a group hold.
  struct HeldShard {
    std::uint32_t tensor = 0;
    std::uint32_t version = 0;
    std::uint32_t group = 0;
    std::uint32_t shard = 0;
  };
  // Many ranks and many tensors have the same shards: each is kept once.
  struct ShardHash {
    std::size_t operator()(const Shard& shard) const;
  };
  struct GroupRange;
  class CutRanges;
  class TensorMerge;

  std::vector<int> peer_groups_;  // by rank
  std::vector<RankSet> groups_;
  std::deque<Named> tensors_;  // a deque, because index_ looks into it
  std::unordered_map<std::string_view, std::uint32_t> index_;
  std::vector<HeldShard> held_;
  std::unordered_map<Shard, std::uint32_t, ShardHash> shard_numbers_;
  std::vector<const Shard*> shards_;  // by number
};

}  // namespace muster::plan
